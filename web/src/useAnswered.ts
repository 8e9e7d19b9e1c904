// Something fetched once, when a part of the page opens: what came, or the sentence that says why nothing did.
import { useEffect, useState } from "react";
import { ApiError } from "./api";
import { useWords } from "./i18n";

export function useAnswered<T>(ask: () => Promise<T>, key: string): [T | null, string | null] {
  const words = useWords();
  const [answered, setAnswered] = useState<{ key: string; value: T | null; trouble: string | null } | null>(null);
  useEffect(() => {
    let wanted = true;
    const tell = (value: T | null, trouble: string | null) => wanted && setAnswered({ key, value, trouble });
    ask().then(
      (value) => tell(value, null),
      (error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        tell(null, error.message || words("unreachable"));
      },
    );
    return () => {
      wanted = false;
    };
  }, [key]); // `ask` is made anew with every drawing; `key` says what it asks for
  return answered?.key === key ? [answered.value, answered.trouble] : [null, null];
}
