// What the server is asked about read-only links, and what a link's page shows to whoever has it.
import { ApiError, refusal, request } from "./api";
import type { NewShare, SharedConversation, Shares } from "./server";

export type { Share, SharedConversation } from "./server";

/** The page that shows what a link leads to; its secret stands behind the #, which browsers never send. */
export const SHARE_PATH = "/share";

export const sharing = {
  list: () => request<Shares>("GET", "/api/shares"),
  create: async (id: string) => {
    const made = await request<NewShare>("POST", `/api/conversations/${encodeURIComponent(id)}/shares`);
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
