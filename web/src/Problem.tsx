// What is shown when the page cannot start.
import type { ReactNode } from "react";
import type { ApiError } from "./api";
import { useWords } from "./i18n";
import { useRefusal } from "./i18n/refusals";
import { Mark } from "./icons";
import { WAITING } from "./snapshot";

/** `problem` is null before the first reply. */
export function Starting({ problem }: { problem: ApiError | null }) {
  const words = useWords();
  const refusal = useRefusal(problem);
  if (problem && !WAITING.has(problem.status)) return <Closed why={refusal} />;
  return (
    <Notice>
      {problem && (
        <>
          <h1>{words("starting")}</h1>
          <p>{refusal}</p>
        </>
      )}
    </Notice>
  );
}

export function Closed({ why }: { why: string | null }) {
  return (
    <Notice>
      <h1>{why}</h1>
    </Notice>
  );
}

/** On the owner's own machine: the address in the terminal is the door. */
export function NeedsKey() {
  const words = useWords();
  return (
    <Notice>
      <h1>{words("noEntry")}</h1>
      <p>{words("noEntryHelp")}</p>
      <pre>
        <code>bise</code>
      </pre>
    </Notice>
  );
}

function Notice({ children }: { children: ReactNode }) {
  return (
    <main className="problem">
      <Mark />
      {children}
    </main>
  );
}
