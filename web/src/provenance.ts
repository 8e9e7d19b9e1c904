// What the page asks about where answers and models come from.
import { request } from "./api";
import type { FoundHere, Lineage, NotLookedUp, Step } from "./server";

export type { Lineage, Place, Span, Step } from "./server";

export type Found = FoundHere | NotLookedUp;
export type Stage = Step["stage"];

export const traceAnswer = (messageId: string) => request<Found>("GET", `/api/messages/${encodeURIComponent(messageId)}/trace`);
export const lineageOf = (model: string) => request<Lineage>("GET", `/api/lineage?model=${encodeURIComponent(model)}`);
