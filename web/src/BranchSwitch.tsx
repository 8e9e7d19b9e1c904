// Goes between the messages that stand in one place: ‹ 2/3 ›.
import type { Message } from "./api";
import { useWords } from "./i18n";
import { NextIcon, PreviousIcon } from "./icons";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

interface BranchSwitchProps {
  message: Message;
  chatId: string;
  store: ChatStore;
  busy: boolean;
}

export function BranchSwitch({ message, chatId, store, busy }: BranchSwitchProps) {
  const words = useWords();
  const [trouble, attempt] = useAttempt();
  const { branches } = message;
  const at = branches.indexOf(message.id);
  if (branches.length < 2) return null;

  function go(step: number): void {
    const next = branches[at + step];
    if (next !== undefined && !busy) attempt(store.show(chatId, next));
  }

  const place = { number: String(at + 1), count: String(branches.length) };
  return (
    <span className="branches" role="group" aria-label={words("versions")}>
      <button type="button" className="quiet" aria-label={words("previousVersion")} title={words("previousVersion")} aria-disabled={busy || at === 0} onClick={() => go(-1)}>
        <PreviousIcon />
      </button>
      <span role="status">
        <span aria-hidden="true">
          {place.number}/{place.count}
        </span>
        <span className="unseen">{words("versionOf", place)}</span>
      </span>
      <button type="button" className="quiet" aria-label={words("nextVersion")} title={words("nextVersion")} aria-disabled={busy || at === branches.length - 1} onClick={() => go(1)}>
        <NextIcon />
      </button>
      {trouble !== null && (
        <span className="refusal" role="alert">
          {trouble}
        </span>
      )}
    </span>
  );
}
