// What the page on learning from feedback asks the server, and how it follows an attempt.
import { useCallback, useEffect, useRef, useState } from "react";
import { request } from "./api";
import { inTurn } from "./inTurn";
import type { Feedback, FeedbackItem, LearningState } from "./server";

export type { Attempt, Change, FeedbackItem, LearningState, Result } from "./server";

export type Action = "" | "?keep_contacts=true" | "/cancel" | "/keep" | "/back" | "/discard";

const POLL_MS = 1000;
const sending = inTurn();

export interface Learning {
  state: LearningState | null;
  items: FeedbackItem[];
  /** Start and the rest; resolves when the page shows what came of it. */
  act: (action: Action) => Promise<void>;
  exclude: (item: FeedbackItem, excluded: boolean) => Promise<void>;
  /** Why the page could not be read; it keeps trying. */
  away: boolean;
}

/** Follow the latest attempt; `onModels` is called when other models may be on offer. */
export function useLearning(onModels: () => void): Learning {
  const [state, setState] = useState<LearningState | null>(null);
  const [items, setItems] = useState<FeedbackItem[]>([]);
  const [away, setAway] = useState(false);
  const running = state?.attempt?.status === "running";

  const itemsKnown = useRef(false);

  const read = useCallback(async () => {
    setState(await request<LearningState>("GET", "/api/learning"));
    if (!itemsKnown.current) {
      setItems((await request<Feedback>("GET", "/api/feedback")).items);
      itemsKnown.current = true;
    }
    setAway(false);
  }, []);

  useEffect(() => void read().catch(() => setAway(true)), [read]);
  useEffect(() => {
    if (!running && !away) return;
    const timer = setInterval(() => void read().catch(() => setAway(true)), POLL_MS);
    return () => clearInterval(timer);
  }, [running, away, read]);
  useEffect(() => {
    if (state && !running) onModels();
  }, [running]); // what was running has ended

  const act = useCallback(
    async (action: Action) => {
      await request<void>("POST", `/api/learning${action}`);
      await read();
      onModels();
    },
    [read, onModels],
  );
  const exclude = useCallback(async (item: FeedbackItem, excluded: boolean) => {
    const show = (excluded: boolean): void =>
      setItems((items) => items.map((each) => (each.id === item.id ? { ...each, excluded } : each)));
    show(excluded);
    try {
      await sending(item.id, () => request<void>("PATCH", `/api/feedback/${item.id}`, { excluded }));
    } catch (error) {
      show(!excluded);
      throw error;
    }
  }, []);
  return { state, items, act, exclude, away };
}

export interface Counts {
  betterAnswers: number;
  preferences: number;
  thumbsUp: number;
  leftOut: number;
}

/** How many items would be learned from, by kind. */
export function count(items: FeedbackItem[]): Counts {
  const taught = items.filter((item) => item.teaches_nothing === null && !item.excluded);
  const of = (kind: FeedbackItem["kind"]): number => taught.filter((item) => item.kind === kind).length;
  return {
    betterAnswers: of("better_answer"),
    preferences: of("preference"),
    thumbsUp: of("rating"),
    leftOut: items.length - taught.length,
  };
}

/** Phone numbers and e-mail addresses in what would be learned from, which may be public. */
export function contactsOf(items: FeedbackItem[]): string[] {
  const taught = items.filter((item) => item.teaches_nothing === null && !item.excluded);
  return [...new Set(taught.flatMap((item) => item.contacts))];
}
