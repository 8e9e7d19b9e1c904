// Temporary conversations: kept in the server's memory only. Their ids are marked here, so that everything that is asked
// about them goes to addresses of their own, and nothing that is written in them is remembered by this browser.

const MARK = "temporary-";

export const isTemporary = (id: string): boolean => id.startsWith(MARK);

/** What the server calls `id`, made an id of ours. */
export const marked = (id: string): string => MARK + id;

/** The address of a conversation, or of where they are listed and begun. */
export function conversationAt(id: string): string {
  return isTemporary(id) ? `${TEMPORARY_LIST}/${encodeURIComponent(id.slice(MARK.length))}` : `/api/conversations/${encodeURIComponent(id)}`;
}

/** The address of a message of a conversation. */
export function messageAt(chatId: string, messageId: string): string {
  return `/api/${isTemporary(chatId) ? "temporary/" : ""}messages/${encodeURIComponent(messageId)}`;
}

export const TEMPORARY_LIST = "/api/temporary/conversations";
