// What the server is asked about conversations that were deleted, and everything else that it keeps.
import { request, type ConversationSummary } from "./api";

export interface DeletedConversation {
  id: string;
  title: string;
  deleted_at: string;
  /** When it will be erased. */
  gone_at: string;
  num_messages: number;
}

export interface DeletedState {
  kept_days: number;
  conversations: DeletedConversation[];
}

const at = (id: string) => encodeURIComponent(id);

export const holding = {
  deleted: () => request<DeletedState>("GET", "/api/deleted"),
  restore: (id: string) => request<ConversationSummary>("POST", `/api/deleted/${at(id)}/restore`),
  erase: (id: string) => request<void>("DELETE", `/api/deleted/${at(id)}`),
  eraseDeleted: () => request<{ num_erased: number }>("DELETE", "/api/deleted"),
};
