// Projects: folders for conversations, with instructions for whoever answers there.
import { request } from "./api";
import type { Folder, Folders } from "./server";

export type { Folder } from "./server";

export type FolderContent = Omit<Folder, "id">;

/** The server refuses more. */
export const MAX_NAME_CHARS = 100;
export const MAX_INSTRUCTIONS_CHARS = 8000;

const at = (id: string) => encodeURIComponent(id);

export const folderApi = {
  list: () => request<Folders>("GET", "/api/folders"),
  create: (content: FolderContent) => request<Folder>("POST", "/api/folders", content),
  change: (id: string, content: FolderContent) => request<Folder>("PUT", `/api/folders/${at(id)}`, content),
  remove: (id: string) => request<void>("DELETE", `/api/folders/${at(id)}`),
  file: (conversationId: string, folderId: string | null) =>
    request<void>("PUT", `/api/conversations/${at(conversationId)}/folder`, { folder_id: folderId }),
  pin: (conversationId: string, pinned: boolean) =>
    request<void>("PUT", `/api/conversations/${at(conversationId)}/pin`, { pinned }),
};
