// Bringing conversations in: a file is sent, then the server reads it; both show how far they are, and the end what came of it.
import { useEffect, useRef, useState } from "react";
import { ApiError } from "./api";
import { holding, upload, type ImportState } from "./holding";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { failure, useRefusal } from "./i18n/refusals";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

const ASK_EVERY_MS = 400;
const PATIENT_MS = 3000; // while the server is away

export function ImportFile({ store, onImported }: { store: ChatStore; onImported: () => void }) {
  const words = usePageWords();
  const [sent, setSent] = useState<number | null>(null);
  const [state, setState] = useState<ImportState | null>(null);
  const [trouble, attempt] = useAttempt();
  const chooser = useRef<HTMLInputElement>(null);
  const result = useRef<HTMLDivElement>(null);
  const started = useRef(false);
  const running = state?.status === "running";

  useEffect(() => attempt(holding.importState().then((answer) => setState(answer.import))), [attempt]);
  useEffect(() => {
    if (!running) return;
    let timer = 0;
    const ask = () =>
      holding.importState().then(
        (answer) => setState(answer.import),
        (error: unknown) => {
          if (!(error instanceof ApiError)) throw error;
          timer = window.setTimeout(ask, PATIENT_MS);
        },
      );
    timer = window.setTimeout(ask, ASK_EVERY_MS);
    return () => clearTimeout(timer);
  }, [running, state]);
  useEffect(() => {
    if (running || !state || !started.current) return;
    started.current = false;
    result.current?.focus();
    onImported();
    void store.comeBack();
  }, [running, state]); // once, at the end

  async function send(file: File): Promise<void> {
    started.current = true;
    setSent(0);
    try {
      const answer = await upload<{ import: ImportState | null }>("/api/import", file, setSent);
      setState(answer.import);
    } finally {
      setSent(null);
      if (chooser.current) chooser.current.value = ""; // the same file can be chosen again
    }
  }

  const share = sent ?? (running ? state.share : null);
  return (
    <section aria-labelledby="import-title">
      <h2 id="import-title">{words("importTitle")}</h2>
      <p>{words("importHelp")}</p>
      <p role="status" className={share === null ? "unseen" : "fine"}>
        {sent !== null ? words("importSending") : running ? words("importReading") : state && words(`import.${state.status}`)}
      </p>
      {share === null ? (
        <label className="file-button">
          <input ref={chooser} type="file" accept=".zip,.json,.jsonl" onChange={(event) => event.target.files?.[0] && attempt(send(event.target.files[0]))} />
          <span>{words("importChoose")}</span>
        </label>
      ) : (
        <p className="import-progress">
          <progress value={share} max={1} aria-label={words("importTitle")} />
          {running && (
            <button type="button" onClick={() => attempt(holding.cancelImport())}>
              {words("cancel")}
            </button>
          )}
        </p>
      )}
      <Refusal text={trouble} />
      {state && !running && sent === null && (
        <div ref={result} tabIndex={-1} className="import-result">
          <Summary state={state} />
        </div>
      )}
    </section>
  );
}

function Summary({ state }: { state: ImportState }) {
  const words = usePageWords();
  const number = new Intl.NumberFormat(useLocale());
  const error = useRefusal(failure(state.error, state.error_facts));
  const left = Object.entries(state.left_out).map(([kind, count]): [PageWordKey, number] => [`importLeft.${kind as LeftOut}`, count]);
  const counts: [PageWordKey, number][] = [
    ["importConversations", state.num_imported],
    ["importMessages", state.num_messages],
    ["importKnown", state.num_known],
    ["importRefused", state.num_refused],
    ...left,
  ];
  return (
    <>
      <h3>{words(`import.${state.status}`)}</h3>
      {error !== null && <p className="refusal">{error}</p>}
      <dl className="tally">
        {counts.map(([key, count]) => (
          <div key={key}>
            <dt>{words(key)}</dt>
            <dd>{number.format(count)}</dd>
          </div>
        ))}
      </dl>
      <ul className="refusals">
        {state.refusals.map(({ title, reason }, index) => (
          <li key={index}>
            <strong>{title || words("untitled")}</strong> {reason}
          </li>
        ))}
      </ul>
    </>
  );
}

type LeftOut = "attachments" | "tools" | "hidden" | "thinking" | "broken";
