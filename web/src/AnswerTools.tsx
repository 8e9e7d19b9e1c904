// Below an answer: copy, again, thumbs, edit, the branches, and where it came from and how fast.
import type { Message, Thumb } from "./api";
import { BranchSwitch } from "./BranchSwitch";
import { CopyButton } from "./CopyButton";
import { useLocale, useWords } from "./i18n";
import { BookIcon, LensIcon, PenIcon, RetryIcon, ThumbDownIcon, ThumbUpIcon } from "./icons";
import { reasonKey } from "./RatingReason";
import type { ChatStore } from "./store";
import { isTemporary } from "./temporary";

interface AnswerToolsProps {
  message: Message;
  chatId: string;
  store: ChatStore;
  busy: boolean;
  /** The answer as it is shown. */
  text: string;
  /** Null while it is being done. */
  onImprove: (() => void) | null;
  onAnswerAgain: () => void;
  onThumb: (thumb: Thumb) => void;
  onWhy: () => void;
  /** The question for the reason is open. */
  asking: boolean;
  /** The id of what was found in the training data, and whether it is open. */
  found: { id: string; open: boolean };
  onFind: () => void;
  /** The words can be chosen. */
  inside: boolean;
  onInside: () => void;
}

const THUMBS = [
  ["up", ThumbUpIcon],
  ["down", ThumbDownIcon],
] as const;

export function AnswerTools(props: AnswerToolsProps) {
  const words = useWords();
  const { message, chatId, store, busy, text, asking } = props;
  const { rating } = message;
  return (
    <footer className="tools">
      {message.content && (
        <>
          <CopyButton text={text} label={words("copyMessage")} />
          {!isTemporary(chatId) && (
            <>
              {THUMBS.map(([thumb, ThumbIcon]) => (
                <button
                  key={thumb}
                  type="button"
                  className="quiet thumb"
                  aria-pressed={rating?.thumb === thumb}
                  aria-label={words(`thumb.${thumb}`)}
                  title={words(`thumb.${thumb}`)}
                  onClick={() => props.onThumb(thumb)}
                >
                  <ThumbIcon />
                </button>
              ))}
              <button
                type="button"
                className="quiet improve"
                aria-label={words("improve")}
                title={words("improve")}
                aria-disabled={props.onImprove === null}
                onClick={() => props.onImprove?.()}
              >
                <PenIcon />
              </button>
              <button
                type="button"
                className="quiet find"
                aria-label={words("training")}
                title={words("training")}
                aria-expanded={props.found.open}
                aria-controls={props.found.open ? props.found.id : undefined}
                onClick={props.onFind}
              >
                <BookIcon />
              </button>
            </>
          )}
          <button
            type="button"
            className="quiet inside"
            aria-label={words("glass.lookInside")}
            title={words("glass.lookInside")}
            aria-pressed={props.inside}
            onClick={props.onInside}
          >
            <LensIcon />
          </button>
        </>
      )}
      {!busy && (
        <button type="button" className="quiet" aria-label={words("answerAgain")} title={words("answerAgain")} onClick={props.onAnswerAgain}>
          <RetryIcon />
        </button>
      )}
      <BranchSwitch message={message} chatId={chatId} store={store} busy={busy} />
      {rating && !asking && (
        <button type="button" className="link" onClick={props.onWhy}>
          {words(rating.reason ? reasonKey(rating.reason) : "why")}
        </button>
      )}
      <Facts message={message} host={store.snapshot().app?.models.find(({ id }) => id === message.model)?.host ?? null} />
    </footer>
  );
}

function Facts({ message, host }: { message: Message; host: string | null }) {
  const words = useWords();
  const locale = useLocale();
  const number = (value: number, digits: number) =>
    new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
  const { first_token_s: first, tokens_per_s: speed, dropped_turns: dropped = 0 } = message.stats ?? {};
  const facts = [
    host === null ? message.model : words("modelElsewhere", { model: message.model ?? "", host }),
    first != null && words("firstToken", { seconds: number(first, 2) }),
    speed != null && words("speed", { speed: number(speed, speed < 10 ? 1 : 0) }),
    dropped > 0 && words("forgotten", { count: number(dropped, 0) }),
  ];
  return <span className="facts">{facts.filter(Boolean).join(" · ")}</span>;
}
