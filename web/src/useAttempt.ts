// Something asked of the server, and the sentence that says why it was refused.
import { useCallback, useState } from "react";
import { asApiError, type ApiError } from "./api";
import { useRefusal } from "./i18n/refusals";

export function useAttempt(): [string | null, (work: Promise<void>) => void] {
  const [refused, setRefused] = useState<ApiError | null>(null);
  const attempt = useCallback((work: Promise<void>) => {
    setRefused(null);
    work.catch((error: unknown) => setRefused(asApiError(error)));
  }, []);
  return [useRefusal(refused), attempt];
}
