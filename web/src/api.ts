// The app's HTTP interface, typed. Every failure is an ApiError that carries a sentence for people.

export type MessageStatus = "generating" | "complete" | "stopped" | "failed" | "interrupted";

export interface Stats {
  first_token_s: number | null;
  tokens: number | null;
  tokens_per_s: number | null;
  /** Earlier questions, with their answers, that the model's context had no room for. */
  dropped_turns: number;
}

export interface Message {
  id: string;
  role: "user" | "assistant";
  content: string;
  status: MessageStatus;
  model: string | null;
  created_at: string;
  finish_reason: string | null;
  stats: Stats | null;
  /** Why the answer failed, when it did. */
  error: string | null;
}

export interface ConversationSummary {
  id: string;
  title: string;
  updated_at: string;
  generating: boolean;
}

export interface ConversationDetail {
  id: string;
  title: string;
  updated_at: string;
  /** Number of the last event that `messages` already contain. */
  last_event: number;
  messages: Message[];
}

export interface AppState {
  user: { name: string };
  version: string;
  model: { id: string; demonstration: boolean; context_length: number; card_markdown: string };
  models: { id: string }[];
}

export class ApiError extends Error {
  /** `status` is 0 when the server could not be reached. */
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
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
  const body: unknown = await response.json().catch(() => null);
  const message = (body as { error?: { message?: string } } | null)?.error?.message;
  return new ApiError(message ?? `${response.status} ${response.statusText}`, response.status);
}

const at = (id: string) => encodeURIComponent(id);

export const api = {
  state: () => request<AppState>("GET", "/api/state"),
  conversations: () => request<{ conversations: ConversationSummary[] }>("GET", "/api/conversations"),
  create: () => request<ConversationSummary>("POST", "/api/conversations", {}),
  conversation: (id: string) => request<ConversationDetail>("GET", `/api/conversations/${at(id)}`),
  rename: (id: string, title: string) => request<ConversationSummary>("PATCH", `/api/conversations/${at(id)}`, { title }),
  remove: (id: string) => request<void>("DELETE", `/api/conversations/${at(id)}`),
  send: (id: string, content: string, clientId: string) =>
    request<{ user_message: Message; assistant_message: Message }>("POST", `/api/conversations/${at(id)}/messages`, {
      content,
      client_id: clientId,
    }),
  stop: (messageId: string) => request<void>("POST", `/api/messages/${at(messageId)}/stop`),
};
