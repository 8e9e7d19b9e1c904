// What the server is asked about conversations that were deleted, and everything else that it keeps.
import { ApiError, refusalIn, request, type ConversationSummary } from "./api";
import type { DeletedState, Erased, LatestImport, NumErased, Stored } from "./server";

export type { DeletedConversation, DeletedState, Erased, ImportState, Stored } from "./server";

const at = (id: string) => encodeURIComponent(id);

export const holding = {
  deleted: () => request<DeletedState>("GET", "/api/deleted"),
  restore: (id: string) => request<ConversationSummary>("POST", `/api/deleted/${at(id)}/restore`),
  erase: (id: string) => request<void>("DELETE", `/api/deleted/${at(id)}`),
  stored: () => request<Stored>("GET", "/api/stored"),
  eraseEverything: () => request<Erased>("POST", "/api/erase", { confirm: "erase everything" }),
  importState: () => request<LatestImport>("GET", "/api/import"),
  cancelImport: () => request<void>("DELETE", "/api/import"),
  eraseDeleted: () => request<NumErased>("DELETE", "/api/deleted"),
};

/** Send a file as the whole body; only this old interface tells how much of it has been sent. */
export function upload<T>(path: string, file: File, onShare: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    sending.responseType = "json";
    sending.upload.onprogress = ({ loaded, total }) => onShare(loaded / total);
    sending.onload = () => {
      if (sending.status < 300) return resolve(sending.response as T);
      reject(refusalIn(sending.response, sending));
    };
    sending.onerror = () => reject(new ApiError("", 0));
    sending.send(file);
  });
}

