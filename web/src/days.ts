// Groups conversations by when they were last used, in the reader's language.
import type { ConversationSummary } from "./api";

export interface Group {
  label: string;
  conversations: ConversationSummary[];
}

const DAY_MS = 86_400_000;

/** `conversations` come newest first; `lastDays` names the days between yesterday and a week ago. */
export function groupByDay(conversations: ConversationSummary[], now: Date, language: string, lastDays: string): Group[] {
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const month = new Intl.DateTimeFormat(language, { month: "long", year: "numeric" });
  const groups: Group[] = [];
  for (const conversation of conversations) {
    const then = new Date(conversation.updated_at);
    const days = Math.round((startOfDay(now) - startOfDay(then)) / DAY_MS);
    const label = capitalised(days <= 1 ? relative.format(-Math.max(days, 0), "day") : days <= 7 ? lastDays : month.format(then));
    const last = groups.at(-1);
    if (last?.label === label) last.conversations.push(conversation);
    else groups.push({ label, conversations: [conversation] });
  }
  return groups;
}

/** Conversations with those among them that were just deleted, where they were. */
export function withDeleted(conversations: ConversationSummary[], deleted: ConversationSummary[]): ConversationSummary[] {
  const kept = new Set(conversations.map(({ id }) => id));
  const gone = deleted.filter(({ id }) => !kept.has(id));
  return [...conversations, ...gone].sort((one, other) => Date.parse(other.updated_at) - Date.parse(one.updated_at));
}

const startOfDay = (date: Date): number => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
const capitalised = (text: string): string => text.charAt(0).toLocaleUpperCase() + text.slice(1);
