// An answer: its text or the reader's better one, how it ended, and what can be done with it.
import { Suspense, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { Message } from "./api";
import { AnswerTools } from "./AnswerTools";
import { Editor } from "./Editor";
import { focusComposer } from "./focusComposer";
import { useWords } from "./i18n";
import { failure, useRefusal } from "./i18n/refusals";
import { ContinueIcon, RetryIcon } from "./icons";
import { Markdown } from "./Markdown";
import type { MessageViewProps } from "./MessageView";
import { onDemand } from "./onDemand";
import { RatingReason } from "./RatingReason";
import { Refusal } from "./Refusal";
import { isTemporary } from "./temporary";
import { Thinking } from "./Thinking";
import { useAttempt } from "./useAttempt";
import { WhichIsBetter } from "./WhichIsBetter";

const LookInside = onDemand(
  () => import("./LookInside").then((module) => module.LookInside),
  ({ message }) => <Markdown text={message.content} />,
);

const TrainingData = onDemand(() => import("./TrainingData").then((module) => module.TrainingData));

/** What is being done with one answer; nothing, for the others that stand in its place. */
interface Doing {
  id: string;
  what: "improve" | "look at the original" | "say why";
}

export function Answer({ message, chatId, store, busy, last }: MessageViewProps) {
  const words = useWords();
  const [doing, setDoing] = useState<Doing | null>(null);
  const [finding, setFinding] = useState<string | null>(null);
  const [inside, setInside] = useState<string | null>(null);
  const [trouble, attempt] = useAttempt();
  const article = useRef<HTMLElement>(null);
  const what = doing?.id === message.id ? doing.what : null;
  const generating = message.status === "generating";
  const text = message.better === null || what === "look at the original" ? message.content : message.better;

  function begin(next: Doing["what"] | null): void {
    setDoing(next && { id: message.id, what: next });
  }

  function answerAgain(): void {
    focusComposer();
    attempt(store.answerAgain(chatId, message.id));
  }

  /** End what is being done and go back to the button that began it. */
  function end(button: "improve" | "thumb"): void {
    flushSync(() => begin(null));
    const found = button === "improve" ? ".improve" : ".thumb[aria-pressed=true]";
    article.current?.querySelector<HTMLElement>(found)?.focus();
  }

  return (
    <article className="answer" aria-labelledby={`from-${message.id}`} ref={article}>
      <h2 className="unseen" id={`from-${message.id}`}>
        {words("assistant")}
      </h2>
      {message.thinking && <Thinking message={message} />}
      {what === "improve" ? (
        <Editor
          label={words("betterAnswer")}
          text={message.better ?? message.content}
          action={words("save")}
          hint={words("betterAnswerHint")}
          onCancel={() => end("improve")}
          onSave={(better) => {
            end("improve");
            attempt(store.improve(chatId, message.id, better));
          }}
        />
      ) : generating && message.content === "" ? (
        <Wait message={message} />
      ) : inside === message.id ? (
        <Suspense fallback={<Markdown text={message.content} />}>
          <LookInside message={message} chatId={chatId} store={store} />
        </Suspense>
      ) : (
        <Markdown text={text} growing={generating} />
      )}
      {message.better !== null && what !== "improve" && (
        <p className="note edited">
          {words(what === "look at the original" ? "theOriginal" : "editedByYou")}
          <button type="button" className="link" onClick={() => begin(what === null ? "look at the original" : null)}>
            {words(what === "look at the original" ? "showEdited" : "showOriginal")}
          </button>
          {what === "look at the original" && (
            <button type="button" className="link" onClick={() => (end("improve"), attempt(store.improve(chatId, message.id, null)))}>
              {words("useOriginal")}
            </button>
          )}
        </p>
      )}
      {!generating && (
        <>
          <Ending
            message={message}
            onRetry={busy || !last ? null : answerAgain}
            onContinue={busy || !last ? null : () => (focusComposer(), attempt(store.resume(chatId, message.id)))}
          />
          <AnswerTools
            message={message}
            chatId={chatId}
            store={store}
            busy={busy}
            text={text}
            onImprove={what === "improve" ? null : () => begin("improve")}
            onAnswerAgain={answerAgain}
            onThumb={(thumb) => {
              const taken = message.rating?.thumb === thumb;
              begin(taken ? null : "say why");
              attempt(store.rate(chatId, message.id, taken ? null : { thumb, reason: null, comment: null }));
            }}
            onWhy={() => begin(what === "say why" ? null : "say why")}
            asking={what === "say why"}
            found={{ id: `found-${message.id}`, open: finding === message.id }}
            inside={inside === message.id}
            onInside={() => setInside(inside === message.id ? null : message.id)}
            onFind={() => setFinding(finding === message.id ? null : message.id)}
          />
          {finding === message.id && (
            <Suspense>
              <TrainingData message={message} id={`found-${message.id}`} />
            </Suspense>
          )}
          {message.rating && what === "say why" && (
            <RatingReason
              key={message.rating.thumb}
              rating={message.rating}
              onChange={(rating) => attempt(store.rate(chatId, message.id, rating))}
              onClose={() => end("thumb")}
            />
          )}
          {!isTemporary(chatId) && (
            <WhichIsBetter message={message} onJudge={(other, verdict) => attempt(store.prefer(chatId, message, other, verdict))} />
          )}
        </>
      )}
      <Refusal text={trouble} />
    </article>
  );
}

/** What there is to say before the first word. */
function Wait({ message }: { message: Message }) {
  const words = useWords();
  const place = message.stats?.queue_place ?? 0;
  if (message.thinking) return null;
  return <p className="reading">{place > 0 ? words("glass.inLine", { place: String(place) }) : words("reading")}</p>;
}

interface EndingProps {
  message: Message;
  /** Null when it cannot be done now. */
  onRetry: (() => void) | null;
  onContinue: (() => void) | null;
}

/** How an answer that is not whole ended. */
function Ending({ message, onRetry, onContinue }: EndingProps) {
  const words = useWords();
  const error = useRefusal(failure(message.error, message.error_facts));
  const cut = message.finish_reason === "length";
  const goOn = message.content && message.better === null && onContinue && (
    <button type="button" onClick={onContinue}>
      <ContinueIcon />
      {words("continue")}
    </button>
  );
  if (message.status === "stopped" || cut) {
    return (
      <div className="note ended">
        <p>{words(cut ? "lengthReached" : "stopped")}</p>
        {goOn}
      </div>
    );
  }
  if (message.status !== "failed" && message.status !== "interrupted") return null;
  return (
    <div className="trouble">
      <p>
        {words(message.status)} {error}
      </p>
      {onRetry && (
        <button type="button" onClick={onRetry}>
          <RetryIcon />
          {words("retry")}
        </button>
      )}
      {goOn}
    </div>
  );
}
