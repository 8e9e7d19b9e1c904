// What screen readers are told besides an answer's sentences.
import type { MessageStatus } from "./api";

export type Spoken = "started" | "finished" | "stopped" | "failed" | "noted" | "takenBack" | "deleted" | "restored";

/** How an answer ended. */
export function endOf(status: MessageStatus): Spoken {
  if (status === "complete") return "finished";
  return status === "failed" ? "failed" : "stopped";
}
