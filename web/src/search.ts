// Asking the server to find something again.
import { request } from "./api";

/** A piece of a text; `found` marks the words looked for. */
export interface Excerpt {
  text: string;
  found: boolean;
}

/** A message in which all words were found, or, without one, the title of a conversation. */
export interface Hit {
  conversation_id: string;
  title: string;
  message_id: string | null;
  role: "user" | "assistant" | null;
  at: string;
  excerpt: Excerpt[];
}

/** The server tells no more than this; see `MAX_HITS` there. */
export const MAX_HITS = 50;
/** The server refuses longer ones. */
export const MAX_QUERY_CHARS = 200;

export async function search(query: string): Promise<Hit[]> {
  return (await request<{ hits: Hit[] }>("GET", `/api/search?q=${encodeURIComponent(query)}`)).hits;
}
