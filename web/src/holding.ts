// What the server is asked about conversations that were deleted, and everything else that it keeps.
import { ApiError, refusalIn, request, type ConversationSummary, type ErrorFacts } from "./api";

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
  stored: () => request<Stored>("GET", "/api/stored"),
  eraseEverything: () => request<Erased>("POST", "/api/erase", { confirm: "erase everything" }),
  importState: () => request<{ import: ImportState | null }>("GET", "/api/import"),
  cancelImport: () => request<void>("DELETE", "/api/import"),
  eraseDeleted: () => request<{ num_erased: number }>("DELETE", "/api/deleted"),
};

export interface ImportState {
  status: "running" | "finished" | "failed" | "cancelled";
  /** Of the file, 0 to 1. */
  share: number;
  num_imported: number;
  /** Here already. */
  num_known: number;
  num_refused: number;
  num_messages: number;
  /** Pieces of conversations by kind. */
  left_out: Record<string, number>;
  refusals: { title: string; reason: string }[];
  /** Why it ended before the end of the file. */
  error: string | null;
  /** The error's code and values, where it has a code. */
  error_facts: ErrorFacts | null;
}

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

export interface Stored {
  holdings: {
    conversations: number;
    deleted_conversations: number;
    messages: number;
    /** Of messages, in UTF-8. */
    text_bytes: number;
    ratings: number;
    better_answers: number;
    preferences: number;
    folders: number;
    shares: number;
    api_keys: number;
    sessions: number;
    /** Accounts of other providers that open this one. */
    identities: number;
    /** 0 or 1. */
    passwords: number;
  };
  kept_days: number;
  /** The address of the database; null for those who do not answer for the server. */
  place: string | null;
  /** Copies of the database made before upgrades. */
  num_copies: number;
  /** Runs that hold copies of what was learned from. */
  num_learning_runs: number;
  /** That learned from the user's feedback. */
  adapters: string[];
}

export interface Erased {
  receipt: { user: string; erased_at: string; erased: Record<string, number>; adapters: string[] };
  /** Of the receipt as JSON with sorted keys and no spaces. */
  sha256: string;
  num_copies: number;
}
