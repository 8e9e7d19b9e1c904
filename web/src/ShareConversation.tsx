// Making a read-only link: first what it will show, then the link, which is told this once.
import { useState } from "react";
import { CopyButton } from "./CopyButton";
import { Dialog } from "./Dialog";
import { usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { sharing } from "./sharing";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

export function ShareConversation({ store, id, title, onClose }: { store: ChatStore; id: string; title: string; onClose: () => void }) {
  const words = usePageWords();
  const [link, setLink] = useState<string | null>(null);
  const [trouble, attempt] = useAttempt();
  return (
    <Dialog title={words("shareTitle")} onClose={onClose}>
      <p>{words(link ? "shareMade" : "shareHelp")}</p>
      {link ? (
        <p className="share-link">
          <input readOnly autoFocus value={link} aria-label={words("shareLink")} onFocus={(event) => event.target.select()} />
          <CopyButton text={link} label={words("shareCopy")} />
        </p>
      ) : (
        <div className="share-preview" tabIndex={0} role="region" aria-label={words("sharePreview")}>
          <h3>{title}</h3>
          {store.chat(id).messages.map((message) => (
            <p key={message.id}>
              <strong>{words(message.role === "user" ? "shareQuestion" : "shareAnswer")}</strong> {message.better ?? message.content}
            </p>
          ))}
        </div>
      )}
      <Refusal text={trouble} />
      <div className="dialog-actions">
        <button type="button" autoFocus={!link} onClick={onClose}>
          {words(link ? "close" : "cancel")}
        </button>
        {!link && (
          <button type="button" className="primary" onClick={() => attempt(sharing.create(id).then(setLink))}>
            {words("shareMake")}
          </button>
        )}
      </div>
    </Dialog>
  );
}
