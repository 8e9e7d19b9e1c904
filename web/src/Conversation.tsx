// The messages. A question just sent is pinned near the top and its answer fills the space below; nothing moves the
// reader after that, except following the end once they have asked for it.
import { memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Message } from "./api";
import { focusComposer } from "./focusComposer";
import { withoutReplaced } from "./path";
import { useWords } from "./i18n";
import { useRefusal } from "./i18n/refusals";
import { DownIcon } from "./icons";
import { MessageView, PendingView } from "./MessageView";
import { useDrawnTurns } from "./useDrawnTurns";
import { isGenerating, type Chat } from "./snapshot";
import type { ChatStore } from "./store";

/** Closer to the end than this counts as being there, in pixels. */
const NEAR_PX = 48;
const CALM = "(prefers-reduced-motion: reduce)";

interface ConversationProps {
  id: string;
  chat: Chat;
  store: ChatStore;
  /** The message that a search led to. */
  sought: string | null;
}

export const Conversation = memo(function Conversation({ id, chat, store, sought }: ConversationProps) {
  const words = useWords();
  const scroller = useRef<HTMLDivElement>(null);
  const [pinned, setPinned] = useState(chat.pending !== null);
  const following = useRef(false);
  /** The reader has scrolled since the last question; before that only we have. */
  const moved = useRef(false);
  const lastTop = useRef(0);
  const [away, setAway] = useState(false);
  const shown = chat.messages.length > 0;
  const asked = chat.pending?.clientId ?? null;

  const measure = useCallback(() => {
    const element = scroller.current;
    if (!element) return;
    const distance = element.scrollHeight - element.clientHeight - element.scrollTop;
    setAway(distance > NEAR_PX);
    if (element.scrollTop < lastTop.current - 1) following.current = false;
    else if (moved.current && element.scrollTop > lastTop.current && distance < NEAR_PX) following.current = true;
    lastTop.current = element.scrollTop;
  }, []);

  const toEnd = useCallback((behavior: ScrollBehavior) => {
    const element = scroller.current;
    element?.scrollTo({ top: element.scrollHeight, behavior });
  }, []);

  useLayoutEffect(() => {
    if (!asked) return;
    following.current = false;
    moved.current = false;
    setPinned(true);
  }, [asked]);
  useLayoutEffect(() => {
    if (asked && pinned) scroller.current?.querySelector(".turn:last-of-type")?.scrollIntoView({ block: "start" });
  }, [asked, pinned]);
  useLayoutEffect(() => {
    if (shown && !pinned) toEnd("instant");
  }, [shown]); // once, when the messages are first there
  useLayoutEffect(() => {
    if (following.current) toEnd("instant");
    measure();
  }, [chat, measure, toEnd]);
  useEffect(() => {
    if (sought === null) return;
    const article = document.getElementById(`from-${sought}`)?.closest("article");
    if (!article) return;
    following.current = false;
    article.tabIndex = -1;
    article.dataset.sought = "";
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "start" });
    // Turns above it had estimated heights until now.
    const frame = requestAnimationFrame(() => article.scrollIntoView({ block: "start" }));
    return () => {
      cancelAnimationFrame(frame);
      delete article.dataset.sought;
    };
  }, [sought]);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      element.style.setProperty("--view", `${element.clientHeight}px`);
      measure();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [measure]);

  const messages = withoutReplaced(chat.messages, chat.pending?.insteadOf ?? null);
  const turns = groupTurns(messages);
  const busy = isGenerating(chat) || chat.pending !== null;
  const refusal = useRefusal(chat.refused);
  const numLeft = useDrawnTurns(scroller, turns.length, sought !== null);
  return (
    <div className="scroll-frame">
      <div
        className="scroller"
        data-growing={numLeft > 0}
        ref={scroller}
        tabIndex={0}
        role="region"
        aria-label={words("messages")}
        onScroll={measure}
        onWheel={() => (moved.current = true)}
        onTouchMove={() => (moved.current = true)}
        onKeyDown={() => (moved.current = true)}
      >
        <div className="messages" aria-busy={isGenerating(chat)}>
          {chat.loading && <p className="fine">{words("loading")}</p>}
          {refusal !== null && (
            <div className="trouble" role="alert">
              <p>
                {words("loadFailed")} {refusal}
              </p>
              <button type="button" onClick={() => store.reload(id)}>
                {words("retry")}
              </button>
            </div>
          )}
          {turns.map((turn, index) => {
            if (index < numLeft) return null;
            const last = index === turns.length - 1 && !chat.pending;
            return (
              <div className="turn" key={placeOf(turn[0])} data-pinned={last && pinned}>
                {turn.map((message) => (
                  <MessageView
                    key={placeOf(message)}
                    message={message}
                    chatId={id}
                    store={store}
                    busy={busy}
                    last={message === messages.at(-1)}
                  />
                ))}
              </div>
            );
          })}
          {chat.pending && (
            <div className="turn" data-pinned={pinned}>
              <PendingView
                pending={chat.pending}
                onRetry={() => (focusComposer(), void store.retry(id))}
                onEdit={() => (focusComposer(), store.withdraw(id))}
              />
            </div>
          )}
        </div>
      </div>
      {away && (
        <button
          type="button"
          className="latest"
          onClick={() => {
            following.current = true;
            toEnd(window.matchMedia(CALM).matches ? "instant" : "smooth");
            scroller.current?.focus({ preventScroll: true }); // this button is about to go
          }}
        >
          <DownIcon />
          {words("latest")}
        </button>
      )}
    </div>
  );
});

/** What stands in one place keeps its elements, and with them the focus, when another branch is shown. */
const placeOf = (message: Message | undefined): string | undefined => message?.branches[0] ?? message?.id;

/** A turn is a question and what answers it. */
function groupTurns(messages: Message[]): Message[][] {
  const turns: Message[][] = [];
  for (const message of messages) {
    if (message.role === "user" || turns.length === 0) turns.push([message]);
    else turns.at(-1)?.push(message);
  }
  return turns;
}
