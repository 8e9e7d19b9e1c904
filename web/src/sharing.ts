// What the server is asked about read-only links, and what a link's page shows to whoever has it.
import { ApiError, refusal, request } from "./api";

export interface Share {
  id: string;
  conversation_id: string;
  title: string;
  created_at: string;
}

export interface SharedConversation {
  title: string;
  created_at: string;
  messages: { role: "user" | "assistant"; content: string; model: string | null; edited: boolean }[];
}

/** The page that shows what a link leads to; its secret stands behind the #, which browsers never send. */
export const SHARE_PATH = "/share";

export const sharing = {
  list: () => request<{ allowed: boolean; shares: Share[] }>("GET", "/api/shares"),
  create: async (id: string) => {
    const made = await request<Share & { token: string }>("POST", `/api/conversations/${encodeURIComponent(id)}/shares`);
    return `${location.origin}${SHARE_PATH}#${made.token}`;
  },
  revoke: (id: string) => request<void>("DELETE", `/api/shares/${encodeURIComponent(id)}`),
  async open(token: string): Promise<SharedConversation> {
    let response: Response;
    try {
      response = await fetch("/shared", { headers: { "x-bise-share": token }, credentials: "omit" });
    } catch {
      throw new ApiError("", 0);
    }
    if (!response.ok) throw await refusal(response);
    return (await response.json()) as SharedConversation;
  },
};
