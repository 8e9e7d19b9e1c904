// One message: an article with a heading, its text, and below an answer where it came from and how fast.
import { memo } from "react";
import type { Message } from "./api";
import { CopyButton } from "./CopyButton";
import { useLanguage, useWords } from "./i18n";
import { RetryIcon } from "./icons";
import { Markdown } from "./Markdown";
import type { Pending } from "./store";

interface MessageViewProps {
  message: Message;
  /** Offered below an answer that failed or was cut short; null when it cannot be retried now. */
  onRetry: (() => void) | null;
}

export const MessageView = memo(function MessageView({ message, onRetry }: MessageViewProps) {
  const words = useWords();
  if (message.role === "user") return <Question id={message.id} content={message.content} />;
  const generating = message.status === "generating";
  return (
    <article className="answer" aria-labelledby={`from-${message.id}`}>
      <h2 className="unseen" id={`from-${message.id}`}>
        {words("assistant")}
      </h2>
      {generating && message.content === "" ? (
        <p className="reading">{words("reading")}</p>
      ) : (
        <Markdown text={message.content} growing={generating} />
      )}
      {!generating && <Ending message={message} onRetry={onRetry} />}
      {!generating && <Footer message={message} />}
    </article>
  );
}, sameView);

function sameView(before: MessageViewProps, after: MessageViewProps): boolean {
  return before.message === after.message && (before.onRetry === null) === (after.onRetry === null);
}

function Question({ id, content }: { id: string; content: string }) {
  const words = useWords();
  return (
    <article className="question" aria-labelledby={`from-${id}`}>
      <h2 className="unseen" id={`from-${id}`}>
        {words("you")}
      </h2>
      <CopyButton text={content} label={words("copyMessage")} />
      <div className="bubble">{content}</div>
    </article>
  );
}

/** How an answer that is not whole ended. */
function Ending({ message, onRetry }: MessageViewProps) {
  const words = useWords();
  if (message.status === "stopped") return <p className="note">{words("stopped")}</p>;
  if (message.status !== "failed" && message.status !== "interrupted") return null;
  return (
    <div className="trouble">
      <p>
        {words(message.status)} {message.error}
      </p>
      {onRetry && (
        <button type="button" onClick={onRetry}>
          <RetryIcon />
          {words("retry")}
        </button>
      )}
    </div>
  );
}

function Footer({ message }: { message: Message }) {
  const words = useWords();
  const language = useLanguage();
  const number = (value: number, digits: number) =>
    new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
  const { first_token_s: first, tokens_per_s: speed, dropped_turns: dropped = 0 } = message.stats ?? {};
  const facts = [
    message.model,
    first != null && words("firstToken", { seconds: number(first, 2) }),
    speed != null && words("speed", { speed: number(speed, speed < 10 ? 1 : 0) }),
    message.finish_reason === "length" && words("lengthReached"),
    dropped > 0 && words("forgotten", { count: number(dropped, 0) }),
  ];
  return (
    <footer className="tools">
      {message.content && <CopyButton text={message.content} label={words("copyMessage")} />}
      <span className="facts">{facts.filter(Boolean).join(" · ")}</span>
    </footer>
  );
}

interface PendingViewProps {
  pending: Pending;
  onRetry: () => void;
  onEdit: () => void;
}

export function PendingView({ pending, onRetry, onEdit }: PendingViewProps) {
  const words = useWords();
  return (
    <>
      <Question id={pending.clientId} content={pending.content} />
      {pending.error !== null && (
        <div className="trouble" role="alert">
          <p>
            {words("notSent")} {pending.error || words("unreachable")}
          </p>
          <button type="button" onClick={onRetry}>
            <RetryIcon />
            {words("retry")}
          </button>
          <button type="button" onClick={onEdit}>
            {words("edit")}
          </button>
        </div>
      )}
    </>
  );
}
