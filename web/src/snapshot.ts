// What the page shows, as React reads it: never changed, only replaced by the store.
import type { ApiError, AppState, ConversationSummary, Message, Settings } from "./api";
import type { Folder } from "./folders";
import type { Spoken } from "./spoken";

/** A question on its way to the server, or refused by it. */
export interface Pending {
  clientId: string;
  content: string;
  /** The question that it takes the place of. */
  insteadOf: string | null;
  refused: ApiError | null;
}

export interface Chat {
  messages: Message[];
  loading: boolean;
  /** Why it could not be opened. */
  refused: ApiError | null;
  pending: Pending | null;
}

export interface Snapshot {
  app: AppState | null;
  /** The page cannot start: the server is away or not ready (WAITING), there is no session (401), or another refusal. */
  problem: ApiError | null;
  /** The server cannot be reached just now. */
  away: boolean;
  conversations: ConversationSummary[];
  /** Those deleted since something was last opened: each can be had back where it was. */
  deleted: ConversationSummary[];
  chats: Readonly<Record<string, Chat>>;
  /** The conversation shown; NEW for one that does not exist yet. */
  openId: string;
  unread: ReadonlySet<string>;
  /** Text not sent yet, by conversation. */
  drafts: Readonly<Record<string, string>>;
  /** Who answers in the conversation that does not exist yet; null: the default. */
  newModel: string | null;
  folders: Folder[];
  /** The project that the conversation that does not exist yet will lie in. */
  newFolder: string | null;
  /** Whether it will be kept in the server's memory only. */
  newTemporary: boolean;
  /** The message that a search led to, until something else is opened. */
  sought: string | null;
  /** How it will be asked. */
  newSettings: Settings;
  /** Counts what is told to screen readers. */
  spoken: { event: Spoken; count: number } | null;
}

/** The conversation that does not exist yet. */
export const NEW = "";
export const EMPTY: Chat = { messages: [], loading: false, refused: null, pending: null };
/** The server is away (0), or there and not ready (503). */
export const WAITING: ReadonlySet<number> = new Set([0, 503]);

export const isGenerating = (chat: Chat): boolean => chat.messages.at(-1)?.status === "generating";
