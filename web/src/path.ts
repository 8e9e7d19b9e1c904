// The path through a conversation's branches that is shown, and how it changes; pure functions.
import type { Message, Preference, Turn, Verdict } from "./api";

/** Put a question and its answer where they belong: at the end, or in place of what stood beside them and all after it. */
export function withTurn(messages: Message[], turn: Turn): Message[] {
  const { user_message: question, assistant_message: answer } = turn;
  const known = messages.findIndex((message) => question.branches.includes(message.id));
  const before = known < 0 ? messages : messages.slice(0, known);
  return [...before, messages.find((message) => message.id === question.id) ?? question, answer];
}

/** What stays in view while a question asked anew is on its way. */
export function withoutReplaced(messages: Message[], insteadOf: string | null): Message[] {
  const at = insteadOf === null ? -1 : messages.findIndex((message) => message.id === insteadOf);
  return at < 0 ? messages : messages.slice(0, at);
}

/** Take over how an answer ended; what stands beside it and what was thought of it is known better here. */
export function answered(messages: Message[], end: Message): Message[] {
  return messages.map((message) => {
    if (message.id !== end.id) return message;
    const { branches, better, rating, preferences } = message;
    return { ...end, branches, better, rating, preferences };
  });
}

/** The branch to compare an answer with: the one before it, or the second for the first. */
export function rival(message: Message): string | null {
  const at = message.branches.indexOf(message.id);
  return message.branches[at > 0 ? at - 1 : 1] ?? null;
}

/** What was said of an answer and another, from the answer's side. */
export function verdictOn(message: Message, otherId: string): Verdict | null {
  const found = message.preferences.find((each) => pairOf(each, message.id, otherId));
  if (!found) return null;
  if (found.verdict === "equal") return "equal";
  return (found.verdict === "first" ? found.first_id : found.second_id) === message.id ? "this" : "other";
}

/** The preferences of an answer after one was said or, with null, taken back. */
export function judged(message: Message, otherId: string, verdict: Verdict | null): Preference[] {
  const others = message.preferences.filter((each) => !pairOf(each, message.id, otherId));
  if (verdict === null) return others;
  const isFirst = message.branches.indexOf(message.id) < message.branches.indexOf(otherId);
  const [first_id, second_id] = isFirst ? [message.id, otherId] : [otherId, message.id];
  const said = verdict === "equal" ? "equal" : (verdict === "this") === isFirst ? "first" : "second";
  return [...others, { first_id, second_id, verdict: said }];
}

function pairOf(preference: Preference, one: string, other: string): boolean {
  const { first_id: first, second_id: second } = preference;
  return (first === one && second === other) || (first === other && second === one);
}
