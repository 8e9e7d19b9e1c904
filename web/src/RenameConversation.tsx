// Another title for a conversation, in a dialog; a refusal is shown there.
import { useState } from "react";
import type { ConversationSummary } from "./api";
import { Dialog } from "./Dialog";
import { useWords } from "./i18n";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

interface RenameConversationProps {
  conversation: ConversationSummary;
  store: ChatStore;
  onClose: () => void;
}

export function RenameConversation({ conversation, store, onClose }: RenameConversationProps) {
  const words = useWords();
  const [title, setTitle] = useState(conversation.title);
  const [trouble, attempt] = useAttempt();
  return (
    <Dialog title={words("rename")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          attempt(store.rename(conversation.id, title.trim()).then(onClose));
        }}
      >
        <label className="field">
          <span>{words("titleField")}</span>
          <input value={title} maxLength={200} autoFocus onFocus={(event) => event.target.select()} onChange={(event) => setTitle(event.target.value)} />
        </label>
        {trouble !== null && (
          <p className="refusal" role="alert">
            {trouble}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" onClick={onClose}>
            {words("cancel")}
          </button>
          <button type="submit" className="primary" disabled={title.trim() === ""}>
            {words("save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
