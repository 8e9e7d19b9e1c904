// The projects in the sidebar: each opens to its conversations, begins a new one, and can be changed.
import { Suspense, useState, type ReactNode } from "react";
import type { ConversationSummary } from "./api";
import type { Folder } from "./folders";
import { useWords } from "./i18n";
import { FolderIcon, PenIcon, PlusIcon } from "./icons";
import { recall, remember } from "./memory";
import { onDemand } from "./onDemand";
import type { ChatStore } from "./store";

const FolderDialog = onDemand(() => import("./FolderDialog").then((module) => module.FolderDialog));

interface FolderListProps {
  store: ChatStore;
  folders: Folder[];
  /** Those that lie in a folder, the latest first. */
  conversations: ConversationSummary[];
  /** The conversation shown. */
  openId: string;
  row: (conversation: ConversationSummary) => ReactNode;
  onNew: (folderId: string) => void;
}

export function FolderList({ store, folders, conversations, openId, row, onNew }: FolderListProps) {
  const words = useWords();
  const [editing, setEditing] = useState<Folder | "new" | null>(null);
  return (
    <section aria-label={words("folders")} className="folders">
      <div className="folders-head">
        <h2>{words("folders")}</h2>
        <button type="button" className="quiet" aria-label={words("folderNew")} title={words("folderNew")} onClick={() => setEditing("new")}>
          <PlusIcon />
        </button>
      </div>
      <ul>
        {folders.map((folder) => (
          <FolderRow
            key={folder.id}
            folder={folder}
            conversations={conversations.filter(({ folder_id }) => folder_id === folder.id)}
            openId={openId}
            row={row}
            onNew={() => onNew(folder.id)}
            onEdit={() => setEditing(folder)}
          />
        ))}
      </ul>
      <Suspense>
        {editing !== null && <FolderDialog folder={editing === "new" ? null : editing} store={store} onClose={() => setEditing(null)} />}
      </Suspense>
    </section>
  );
}

interface FolderRowProps {
  folder: Folder;
  conversations: ConversationSummary[];
  openId: string;
  row: (conversation: ConversationSummary) => ReactNode;
  onNew: () => void;
  onEdit: () => void;
}

function FolderRow({ folder, conversations, openId, row, onNew, onEdit }: FolderRowProps) {
  const words = useWords();
  const { id, name } = folder;
  const [opened, setOpened] = useState(() => recall(`folder.${id}`) !== "");
  const open = opened || conversations.some((conversation) => conversation.id === openId);

  function toggle(): void {
    remember(`folder.${id}`, open ? "" : "open");
    setOpened(!open);
  }

  return (
    <li className="folder">
      <div className="folder-head">
        <button type="button" className="row" aria-expanded={open} title={name} onClick={toggle}>
          <FolderIcon />
          <span className="row-title">{name}</span>
        </button>
        <span className="row-tools">
          <button type="button" className="quiet" aria-label={words("folderChat", { name })} title={words("newChat")} onClick={onNew}>
            <PlusIcon />
          </button>
          <button type="button" className="quiet" aria-label={words("folderOf", { name })} title={words("folder")} onClick={onEdit}>
            <PenIcon />
          </button>
        </span>
      </div>
      {open && (conversations.length > 0 ? <ul>{conversations.map(row)}</ul> : <p className="fine">{words("folderEmpty")}</p>)}
    </li>
  );
}
