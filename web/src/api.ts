// The app's HTTP interface, typed. Every failure is an ApiError that carries a sentence for people.
import type { Refused } from "./i18n/refusals";
import type {
  AppState,
  ConversationDetail,
  Conversations,
  ConversationSummary,
  Message,
  Probabilities,
  Rating,
  Settings,
  Turn,
} from "./server";
import { conversationAt, marked, messageAt, TEMPORARY_LIST } from "./temporary";

export type { AppState, ConversationSummary, ErrorFacts, Message, Model, Parameters, Preference, Rating, Settings, Stats, Turn } from "./server";

export type MessageStatus = Message["status"];
export type Thumb = Rating["thumb"];
export type Verdict = "this" | "other" | "equal";

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
  conversations: () => request<Conversations>("GET", "/api/conversations"),
  temporary: async () => {
    const { conversations } = await request<Conversations>("GET", TEMPORARY_LIST);
    return conversations.map((conversation) => ({ ...conversation, id: marked(conversation.id) }));
  },
  create: async (model: string | null, settings: Settings, temporary: boolean) => {
    const made = await request<ConversationSummary>("POST", temporary ? TEMPORARY_LIST : "/api/conversations", { model, settings });
    return temporary ? { ...made, id: marked(made.id) } : made;
  },
  chooseSettings: (id: string, settings: Settings) =>
    request<Settings>("PUT", `${conversationAt(id)}/settings`, settings),
  probabilities: (id: string, messageId: string) =>
    request<Probabilities>("GET", `${messageAt(id, messageId)}/probabilities`),
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
