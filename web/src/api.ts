// The app's HTTP interface, typed. Every failure is an ApiError that carries a sentence for people.
import type { Refused } from "./i18n/refusals";
import type { Token } from "./inside";
import { conversationAt, marked, messageAt, TEMPORARY_LIST } from "./temporary";

export type MessageStatus = "generating" | "complete" | "stopped" | "failed" | "interrupted";

export interface Stats {
  first_token_s: number | null;
  tokens: number | null;
  tokens_per_s: number | null;
  /** Earlier questions, with their answers, that the model's context had no room for. */
  dropped_turns: number;
  /** How long the model thought, or has thought so far; null when it did not. */
  thinking_s?: number | null;
  /** The number in the line of those that wait for the engine; 0 when the answer has a place. */
  queue_place?: number;
}

export type Thumb = "up" | "down";

export interface Rating {
  thumb: Thumb;
  reason: string | null;
  comment: string | null;
}

/** Which of two answers to one question is better; the first is the older one. */
export interface Preference {
  first_id: string;
  second_id: string;
  verdict: "first" | "second" | "equal";
}

export type Verdict = "this" | "other" | "equal";

export type ErrorFacts = Pick<Refused, "code" | "values">;

export interface Message {
  id: string;
  role: "user" | "assistant";
  content: string;
  /** What the model thought before it answered. */
  thinking: string | null;
  status: MessageStatus;
  model: string | null;
  created_at: string;
  finish_reason: string | null;
  stats: Stats | null;
  /** Why the answer failed, when it did. */
  error: string | null;
  /** The error's code and values, where it has a code. */
  error_facts: ErrorFacts | null;
  /** All messages that stand in this place, this one too, oldest first. */
  branches: string[];
  /** What the reader made of an answer. */
  better: string | null;
  rating: Rating | null;
  preferences: Preference[];
}

export interface Turn {
  user_message: Message;
  assistant_message: Message;
}

export interface ConversationSummary {
  id: string;
  title: string;
  updated_at: string;
  generating: boolean;
  /** Who answers here; null: the default. */
  model: string | null;
  /** The project that it lies in. */
  folder_id: string | null;
  pinned: boolean;
  settings: Settings;
}

export interface Parameters {
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  seed?: number;
}

/** How a conversation's next answers are asked for; a parameter that is missing is as by default. */
export interface Settings {
  system_prompt: string | null;
  parameters: Parameters;
  keeps_probabilities: boolean;
}

export interface ConversationDetail extends ConversationSummary {
  /** Number of the last event that `messages` already contain. */
  last_event: number;
  messages: Message[];
}

export interface Model {
  id: string;
  /** The other server that messages go to; null: nothing leaves this one. */
  host: string | null;
  demonstration: boolean;
  /** Whether it tells how likely its tokens were. */
  tells_probabilities: boolean;
  context_length: number;
  card_markdown: string;
}

export interface AppState {
  user: { name: string; role: "user" | "admin" };
  /** Whether people have accounts here; without them this machine's owner is the one user. */
  accounts: boolean;
  version: string;
  /** Whether links to conversations may be made here. */
  share_links: boolean;
  default_model: string;
  default_parameters: Parameters;
  models: Model[];
}

export class ApiError extends Error implements Refused {
  /** `status` is 0 when the server could not be reached. */
  constructor(
    message: string,
    readonly status: number,
    /** What the server calls this kind of refusal. */
    readonly code: string | null = null,
    readonly values: Refused["values"] = {},
  ) {
    super(message);
  }
}

/** What went wrong when something was asked; our own mistakes go on. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  throw error;
}

export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: { accept: "application/json" } };
  if (body !== undefined) {
    init.headers = { ...init.headers, "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError("", 0);
  }
  if (!response.ok) throw await refusal(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function refusal(response: Response): Promise<ApiError> {
  return refusalIn(await response.json().catch(() => null), response);
}

/** What a body says of the refusal that it belongs to. */
export function refusalIn(body: unknown, { status, statusText }: { status: number; statusText: string }): ApiError {
  const error = (body as { error?: Partial<Refused> } | null)?.error;
  return new ApiError(error?.message ?? `${status} ${statusText}`, status, error?.code, error?.values);
}

const at = (id: string) => encodeURIComponent(id);

export const api = {
  state: () => request<AppState>("GET", "/api/state"),
  conversations: () => request<{ conversations: ConversationSummary[] }>("GET", "/api/conversations"),
  temporary: async () => {
    const { conversations } = await request<{ conversations: ConversationSummary[] }>("GET", TEMPORARY_LIST);
    return conversations.map((conversation) => ({ ...conversation, id: marked(conversation.id) }));
  },
  create: async (model: string | null, settings: Settings, temporary: boolean) => {
    const made = await request<ConversationSummary>("POST", temporary ? TEMPORARY_LIST : "/api/conversations", { model, settings });
    return temporary ? { ...made, id: marked(made.id) } : made;
  },
  chooseSettings: (id: string, settings: Settings) =>
    request<Settings>("PUT", `${conversationAt(id)}/settings`, settings),
  probabilities: (id: string, messageId: string) =>
    request<{ tokens: Token[] }>("GET", `${messageAt(id, messageId)}/probabilities`),
  conversation: (id: string) => request<ConversationDetail>("GET", conversationAt(id)),
  rename: (id: string, title: string) => request<ConversationSummary>("PATCH", conversationAt(id), { title }),
  chooseModel: (id: string, model: string) => request<ConversationSummary>("PATCH", conversationAt(id), { model }),
  remove: (id: string) => request<void>("DELETE", conversationAt(id)),
  send: (id: string, content: string, clientId: string, insteadOf: string | null) =>
    request<Turn>("POST", `${conversationAt(id)}/messages`, {
      content,
      client_id: clientId,
      instead_of: insteadOf,
    }),
  answerAgain: (id: string, insteadOf: string, clientId: string) =>
    request<Turn>("POST", `${conversationAt(id)}/answers`, { instead_of: insteadOf, client_id: clientId }),
  show: (id: string, messageId: string) =>
    request<ConversationDetail>("PUT", `${conversationAt(id)}/shown`, { message_id: messageId }),
  stop: (id: string, messageId: string) => request<void>("POST", `${messageAt(id, messageId)}/stop`),
  resume: (id: string, messageId: string) => request<Turn>("POST", `${messageAt(id, messageId)}/continue`),
  rate: (messageId: string, rating: Rating | null) =>
    request<void>(rating ? "PUT" : "DELETE", `/api/messages/${at(messageId)}/rating`, rating ?? undefined),
  improve: (messageId: string, content: string | null) =>
    request<void>(content === null ? "DELETE" : "PUT", `/api/messages/${at(messageId)}/better`, content === null ? undefined : { content }),
  prefer: (messageId: string, otherId: string, verdict: Verdict | null) =>
    request<void>("PUT", `/api/messages/${at(messageId)}/preference`, { other_id: otherId, verdict }),
};
