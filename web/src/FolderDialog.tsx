// A project: its name and the instructions that every answer in it is asked with. Made, changed and deleted here.
import { useState } from "react";
import { Dialog } from "./Dialog";
import { folderApi, MAX_INSTRUCTIONS_CHARS, MAX_NAME_CHARS, type Folder } from "./folders";
import { usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

interface FolderDialogProps {
  /** Null for one to be made. */
  folder: Folder | null;
  store: ChatStore;
  onClose: () => void;
}

export function FolderDialog({ folder, store, onClose }: FolderDialogProps) {
  const words = usePageWords();
  const [name, setName] = useState(folder?.name ?? "");
  const [instructions, setInstructions] = useState(folder?.instructions ?? "");
  const [deleting, setDeleting] = useState(false);
  const [trouble, attempt] = useAttempt();

  async function save(): Promise<void> {
    const content = { name: name.trim(), instructions };
    await (folder ? folderApi.change(folder.id, content) : folderApi.create(content));
    await store.refresh();
  }

  async function remove({ id }: Folder): Promise<void> {
    await folderApi.remove(id);
    await store.refresh();
  }

  return (
    <Dialog title={words(folder ? "folder" : "folderNew")} className="folder" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          attempt(save().then(onClose));
        }}
      >
        <label className="field">
          <span>{words("folderName")}</span>
          <input value={name} maxLength={MAX_NAME_CHARS} autoFocus onChange={(event) => setName(event.target.value)} />
        </label>
        <label className="field">
          <span>{words("folderInstructions")}</span>
          <textarea rows={5} value={instructions} maxLength={MAX_INSTRUCTIONS_CHARS} onChange={(event) => setInstructions(event.target.value)} />
        </label>
        <p className="fine">{words("folderHelp")}</p>
        <Refusal text={trouble} />
        <div className="dialog-actions">
          {folder && (
            <button
              type="button"
              className="folder-delete"
              onClick={() => (deleting ? attempt(remove(folder).then(onClose)) : setDeleting(true))}
            >
              {words(deleting ? "folderDeleteSure" : "folderDelete")}
            </button>
          )}
          <button type="button" onClick={onClose}>
            {words("cancel")}
          </button>
          <button type="submit" className="primary" disabled={name.trim() === ""}>
            {words("save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
