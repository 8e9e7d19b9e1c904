// What is shown when the page cannot start.
import { useWords } from "./i18n";
import { Mark } from "./icons";

/** `waitingFor` is null before the first reply, and empty when none comes. */
export function Starting({ waitingFor }: { waitingFor: string | null }) {
  const words = useWords();
  return (
    <main className="problem">
      <Mark />
      {waitingFor !== null && (
        <>
          <h1>{words("starting")}</h1>
          <p>{waitingFor || words("unreachable")}</p>
        </>
      )}
    </main>
  );
}

export function NoEntry({ status, message }: { status: number; message: string }) {
  const words = useWords();
  return (
    <main className="problem">
      <Mark />
      {status === 401 ? (
        <>
          <h1>{words("noEntry")}</h1>
          <p>{words("noEntryHelp")}</p>
          <pre>
            <code>bise</code>
          </pre>
        </>
      ) : (
        <h1>{message}</h1>
      )}
    </main>
  );
}
