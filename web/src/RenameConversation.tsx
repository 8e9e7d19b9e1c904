// Another title for a conversation, or another project, in a dialog; a refusal is shown there.
import { useState } from "react";
import type { ConversationSummary } from "./api";
import { Dialog } from "./Dialog";
import { folderApi } from "./folders";
import { useWords } from "./i18n";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { isTemporary } from "./temporary";
import { useAttempt } from "./useAttempt";

interface RenameConversationProps {
  conversation: ConversationSummary;
  store: ChatStore;
  onClose: () => void;
}

export function RenameConversation({ conversation, store, onClose }: RenameConversationProps) {
  const words = useWords();
  const [title, setTitle] = useState(conversation.title);
  const { folders } = store.snapshot();
  const [folderId, setFolderId] = useState(conversation.folder_id);
  const [trouble, attempt] = useAttempt();

  async function save(): Promise<void> {
    if (title.trim() !== conversation.title) await store.rename(conversation.id, title.trim());
    if (folderId !== conversation.folder_id) await folderApi.file(conversation.id, folderId).then(() => store.refresh());
  }

  return (
    <Dialog title={words("renameOrMove")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          attempt(save().then(onClose));
        }}
      >
        <label className="field">
          <span>{words("titleField")}</span>
          <input value={title} maxLength={200} autoFocus onFocus={(event) => event.target.select()} onChange={(event) => setTitle(event.target.value)} />
        </label>
        {folders.length > 0 && !isTemporary(conversation.id) && (
          <label className="field">
            <span>{words("folder")}</span>
            <select value={folderId ?? ""} onChange={(event) => setFolderId(event.target.value || null)}>
              <option value="">{words("folderNone")}</option>
              {folders.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        <Refusal text={trouble} />
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
