// Deleted conversations: each can be had back until its time is over, or erased before.
import { useCallback, useEffect, useRef, useState } from "react";
import { Confirm } from "./Confirm";
import { holding, type DeletedConversation, type DeletedState } from "./holding";
import { useLocale, usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

const EVERYTHING = "everything";

export function Deleted({ store }: { store: ChatStore }) {
  const words = usePageWords();
  const locale = useLocale();
  const [state, setState] = useState<DeletedState | null>(null);
  const [erasing, setErasing] = useState<DeletedConversation | typeof EVERYTHING | null>(null);
  const [trouble, attempt] = useAttempt();
  const lead = useRef<HTMLParagraphElement>(null);
  const load = useCallback(() => holding.deleted().then(setState), []);
  useEffect(() => attempt(load()), [attempt, load]);

  // The row with the button that was pressed has gone.
  async function reload(): Promise<void> {
    await load();
    lead.current?.focus();
  }

  async function erase(): Promise<void> {
    await (erasing === EVERYTHING ? holding.eraseDeleted() : erasing && holding.erase(erasing.id));
    setErasing(null);
    await reload();
  }

  const days = new Intl.NumberFormat(locale, { style: "unit", unit: "day", unitDisplay: "long" });
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("deletedPage")} aria-busy={!state && !trouble}>
      <div className="holding">
        <Refusal text={trouble} />
        {state && (
          <>
            <p className="lead" ref={lead} tabIndex={-1}>
              {words(state.conversations.length ? "deletedLead" : "deletedNone", { days: days.format(state.kept_days) })}
            </p>
            <ul className="holding-list">
              {state.conversations.map((conversation) => (
                <Row
                  key={conversation.id}
                  conversation={conversation}
                  onRestore={() => attempt(store.restore(conversation.id).then(reload))}
                  onErase={() => setErasing(conversation)}
                />
              ))}
            </ul>
            {state.conversations.length > 1 && (
              <p>
                <button type="button" onClick={() => setErasing(EVERYTHING)}>
                  {words("deletedEmpty")}
                </button>
              </p>
            )}
          </>
        )}
      </div>
      {erasing && (
        <Confirm
          title={words(erasing === EVERYTHING ? "deletedEmptyAsk" : "deletedEraseAsk")}
          warning={
            erasing === EVERYTHING
              ? words("deletedEmptyWarning", { count: new Intl.NumberFormat(locale).format(state?.conversations.length ?? 0) })
              : words("deletedEraseWarning", { title: erasing.title || words("untitled") })
          }
          action={words("deletedErase")}
          onConfirm={erase}
          onClose={() => setErasing(null)}
        />
      )}
    </div>
  );
}

interface RowProps {
  conversation: DeletedConversation;
  onRestore: () => void;
  onErase: () => void;
}

function Row({ conversation, onRestore, onErase }: RowProps) {
  const words = usePageWords();
  const date = new Intl.DateTimeFormat(useLocale(), { dateStyle: "medium" });
  const title = conversation.title || words("untitled");
  return (
    <li>
      <div>
        <span className="holding-title">{title}</span>
        <span className="fine">
          {words("deletedWhen", { date: date.format(new Date(conversation.deleted_at)), gone: date.format(new Date(conversation.gone_at)) })}
        </span>
      </div>
      <button type="button" aria-label={words("deletedRestoreOf", { title })} onClick={onRestore}>
        {words("deletedRestore")}
      </button>
      <button type="button" aria-label={words("deletedEraseOf", { title })} onClick={onErase}>
        {words("deletedErase")}
      </button>
    </li>
  );
}
