// Follows one conversation's numbered events over server-sent events. When the line breaks it comes back and asks for
// what came after the last number it saw, so nothing is lost and nothing is told twice.
import { ApiError, refusal, type Message } from "./api";
import { conversationAt } from "./temporary";

export interface ServerEvent {
  id: number | null;
  event: string;
  data: string;
}

/** Cuts a stream of text into server-sent events; pieces may end anywhere, even inside a line. */
export function eventParser(): (piece: string) => ServerEvent[] {
  let pending = "";
  let id: number | null = null;
  let event = "message";
  let data: string[] = [];

  function line(text: string, out: ServerEvent[]): void {
    if (text === "") {
      if (data.length) out.push({ id, event, data: data.join("\n") });
      [id, event, data] = [null, "message", []];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a heartbeat
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && /^\d+$/.test(value)) id = Number(value);
  }

  return (piece) => {
    const out: ServerEvent[] = [];
    pending += piece;
    // A carriage return at the very end may be half of a line break: wait for what follows.
    for (let end = pending.search(/\r\n|\n|\r(?!$)/); end >= 0; end = pending.search(/\r\n|\n|\r(?!$)/)) {
      line(pending.slice(0, end), out);
      pending = pending.slice(end + (pending.startsWith("\r\n", end) ? 2 : 1));
    }
    return out;
  };
}

export interface Listener {
  delta(messageId: string, text: string): void;
  thought(messageId: string, text: string): void;
  waits(messageId: string, place: number): void;
  done(message: Message): void;
  /** The line broke (true) or works again (false). */
  away(isAway: boolean): void;
  /** The server refuses this conversation; following has ended. */
  refused(error: ApiError): void;
}

const RETRY_MS = [300, 1000, 2000, 5000];

/** The number of the last event seen; `follow` moves it on. */
export interface Cursor {
  last: number;
}

/** Follow the events of a conversation after `cursor.last`; the function returned ends it. */
export function follow(conversationId: string, cursor: Cursor, listener: Listener): () => void {
  const ending = new AbortController();
  void run(conversationId, cursor, listener, ending.signal);
  return () => ending.abort();
}

async function run(conversationId: string, cursor: Cursor, listener: Listener, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const event of read(conversationId, cursor.last, signal, () => listener.away(false))) {
        failures = 0;
        if (event.id !== null) cursor.last = event.id;
        tell(event, listener);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) return listener.refused(error);
      listener.away(true);
    }
    await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]!, signal);
  }
}

function tell(event: ServerEvent, listener: Listener): void {
  if (event.event === "delta" || event.event === "thinking") {
    const { message_id, text } = JSON.parse(event.data) as { message_id: string; text: string };
    if (event.event === "delta") listener.delta(message_id, text);
    else listener.thought(message_id, text);
  } else if (event.event === "waiting") {
    const { message_id, queue_place } = JSON.parse(event.data) as { message_id: string; queue_place: number };
    listener.waits(message_id, queue_place);
  } else if (event.event === "done") {
    listener.done((JSON.parse(event.data) as { message: Message }).message);
  }
}

async function* read(
  conversationId: string,
  after: number,
  signal: AbortSignal,
  opened: () => void,
): AsyncGenerator<ServerEvent> {
  const path = `${conversationAt(conversationId)}/events?after=${after}`;
  const response = await fetch(path, { headers: { accept: "text/event-stream" }, signal });
  if (!response.ok || !response.body) throw await refusal(response);
  opened();
  const parse = eventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield* parse(part.value);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
