// Asking the server to find something again.
import { request } from "./api";
import type { Hit, Hits } from "./server";

export type { Hit } from "./server";

/** The server tells no more than this; see `MAX_HITS` there. */
export const MAX_HITS = 50;
/** The server refuses longer ones. */
export const MAX_QUERY_CHARS = 200;

export async function search(query: string): Promise<Hit[]> {
  return (await request<Hits>("GET", `/api/search?q=${encodeURIComponent(query)}`)).hits;
}
