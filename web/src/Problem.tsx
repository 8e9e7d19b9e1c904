// What is shown when the page cannot start.
import { useWords } from "./i18n";
import { Mark } from "./icons";

export function Starting({ waiting }: { waiting: boolean }) {
  const words = useWords();
  return (
    <main className="problem">
      <Mark />
      {waiting && <h1>{words("starting")}</h1>}
      {waiting && <p>{words("unreachable")}</p>}
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
