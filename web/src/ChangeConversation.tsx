// Renaming and deleting, each in a dialog; a refusal is shown there.
import { useState, type FormEvent } from "react";
import { ApiError, type ConversationSummary } from "./api";
import { Dialog } from "./Dialog";
import { useWords } from "./i18n";
import type { ChatStore } from "./store";

export interface Change {
  kind: "rename" | "delete";
  conversation: ConversationSummary;
}

interface ChangeConversationProps {
  change: Change;
  store: ChatStore;
  /** `deleted` says that the buttons this was opened with are gone. */
  onClose: (deleted: boolean) => void;
}

export function ChangeConversation({ change, store, onClose }: ChangeConversationProps) {
  const words = useWords();
  const { kind, conversation } = change;
  const [title, setTitle] = useState(conversation.title);
  const [trouble, setTrouble] = useState<string | null>(null);
  const renaming = kind === "rename";

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    try {
      await (renaming ? store.rename(conversation.id, title.trim()) : store.remove(conversation.id));
      onClose(!renaming);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setTrouble(error.message || words("unreachable"));
    }
  }

  return (
    <Dialog title={words(renaming ? "rename" : "deleteAsk")} onClose={() => onClose(false)}>
      <form onSubmit={(event) => void submit(event)}>
        {renaming ? (
          <label className="field">
            <span>{words("titleField")}</span>
            <input value={title} maxLength={200} autoFocus onFocus={(event) => event.target.select()} onChange={(event) => setTitle(event.target.value)} />
          </label>
        ) : (
          <p>{words("deleteWarning", { title: conversation.title || words("untitled") })}</p>
        )}
        {trouble !== null && (
          <p className="refusal" role="alert">
            {trouble}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" autoFocus={!renaming} onClick={() => onClose(false)}>
            {words("cancel")}
          </button>
          <button type="submit" className="primary" disabled={renaming && title.trim() === ""}>
            {words(renaming ? "save" : "delete")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
