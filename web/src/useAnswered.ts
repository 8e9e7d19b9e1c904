// Something fetched once, when a part of the page opens: what came, or the sentence that says why nothing did.
import { useEffect, useState } from "react";
import { asApiError, type ApiError } from "./api";
import { useRefusal } from "./i18n/refusals";

export function useAnswered<T>(ask: () => Promise<T>, key: string): [T | null, string | null] {
  const [answered, setAnswered] = useState<{ key: string; value: T | null; refused: ApiError | null } | null>(null);
  useEffect(() => {
    let wanted = true;
    const tell = (value: T | null, refused: ApiError | null) => wanted && setAnswered({ key, value, refused });
    ask().then((value) => tell(value, null), (error: unknown) => tell(null, asApiError(error)));
    return () => {
      wanted = false;
    };
  }, [key]); // `ask` is made anew with every drawing; `key` says what it asks for
  const latest = answered?.key === key ? answered : null;
  return [latest?.value ?? null, useRefusal(latest?.refused ?? null)];
}
