// Something asked of the server, and the sentence that says why it was refused.
import { useCallback, useState } from "react";
import { ApiError } from "./api";
import { useWords } from "./i18n";

/** `inOwnWords` says a refusal, by its code, in the page's language; the server's sentences are English. */
export function useAttempt(inOwnWords?: (code: string) => string | undefined): [string | null, (work: Promise<void>) => void] {
  const words = useWords();
  const [trouble, setTrouble] = useState<string | null>(null);
  const attempt = useCallback(
    (work: Promise<void>) => {
      setTrouble(null);
      work.catch((error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        setTrouble(inOwnWords?.(error.code ?? "") ?? (error.message || words("unreachable")));
      });
    },
    [words, inOwnWords],
  );
  return [trouble, attempt];
}
