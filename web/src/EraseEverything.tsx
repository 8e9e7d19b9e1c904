// Erasing everything, after a word is typed, and the receipt for it.
import { useEffect, useRef, useState } from "react";
import { CopyButton } from "./CopyButton";
import { Dialog } from "./Dialog";
import { holding, type Erased } from "./holding";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

const FIGURES: Record<string, PageWordKey> = {
  conversations: "conversations",
  deleted_conversations: "deletedPage",
  messages: "messages",
  text_bytes: "storedBytes",
  ratings: "storedRatings",
  better_answers: "betterAnswers",
  preferences: "preferences",
  folders: "folders",
  shares: "shareLinks",
  learning_runs: "storedRuns",
};

export function EraseEverything({ store, onErased }: { store: ChatStore; onErased: () => void }) {
  const words = usePageWords();
  const [asking, setAsking] = useState(false);
  const [erased, setErased] = useState<Erased | null>(null);
  const receipt = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (erased) receipt.current?.focus();
  }, [erased]);

  async function erase(): Promise<void> {
    setErased(await holding.eraseEverything());
    setAsking(false);
    store.forgetAll();
    onErased();
  }

  return (
    <section>
      <h2>{words("eraseTitle")}</h2>
      <p>{words("eraseHelp")}</p>
      <p>
        <button type="button" onClick={() => setAsking(true)}>
          {words("eraseButton")}
        </button>
      </p>
      {asking && <Ask onErase={erase} onClose={() => setAsking(false)} />}
      {erased && (
        <div ref={receipt} tabIndex={-1} className="receipt">
          <Receipt erased={erased} />
        </div>
      )}
    </section>
  );
}

function Ask({ onErase, onClose }: { onErase: () => Promise<void>; onClose: () => void }) {
  const words = usePageWords();
  const [typed, setTyped] = useState("");
  const [trouble, attempt] = useAttempt();
  const right = typed.trim().toLowerCase() === words("eraseWord");
  return (
    <Dialog title={words("eraseTitle")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (right) attempt(onErase());
        }}
      >
        <p>{words("eraseWarning")}</p>
        <label className="field">
          <span>{words("eraseType", { word: words("eraseWord") })}</span>
          <input value={typed} autoFocus autoComplete="off" onChange={(event) => setTyped(event.target.value)} />
        </label>
        <Refusal text={trouble} />
        <div className="dialog-actions">
          <button type="button" onClick={onClose}>
            {words("cancel")}
          </button>
          <button type="submit" className="primary" disabled={!right}>
            {words("eraseButton")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Receipt({ erased }: { erased: Erased }) {
  const words = usePageWords();
  const locale = useLocale();
  const number = new Intl.NumberFormat(locale);
  const { adapters } = erased.receipt;
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "medium" });
  return (
    <>
      <h3>
        {words("receiptTitle")} <CopyButton text={JSON.stringify(erased, null, 1)} label={words("receiptCopy")} />
      </h3>
      <p>{moment.format(new Date(erased.receipt.erased_at))}</p>
      <dl className="tally">
        {Object.entries(erased.receipt.erased).map(([name, count]) => (
          <div key={name}>
            <dt>{FIGURES[name] ? words(FIGURES[name]) : name}</dt>
            <dd>{number.format(count)}</dd>
          </div>
        ))}
        <div>
          <dt>SHA-256</dt>
          <dd>
            <code>{erased.sha256}</code>
          </dd>
        </div>
      </dl>
      {adapters.length > 0 && <p>{words("receiptAdapters", { names: adapters.join(", ") })}</p>}
      <p>{words("receiptRemains", { count: number.format(erased.num_copies) })}</p>
    </>
  );
}
