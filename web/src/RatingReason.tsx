// Why a thumb: one of a few reasons, and words of one's own. Both may be left out; a reason counts at once.
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { Rating, Thumb } from "./api";
import { useWords, type WordKey } from "./i18n";

const REASONS = {
  up: ["correct", "clear", "well_written"],
  down: ["wrong", "off_topic", "incomplete", "too_long", "language", "style", "harmful"],
} as const satisfies Record<Thumb, readonly string[]>;
type Reason = (typeof REASONS)[Thumb][number];
const MAX_CHARS = 2000;

/** The name of a reason that the server gave. */
export const reasonKey = (reason: string): WordKey => `reason.${reason as Reason}`;

interface RatingReasonProps {
  rating: Rating;
  onChange: (rating: Rating) => void;
  onClose: () => void;
}

export function RatingReason({ rating, onChange, onClose }: RatingReasonProps) {
  const words = useWords();
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => void form.current?.scrollIntoView({ block: "nearest" }), []); // once, when it opens
  // Kept here, too: words may follow a reason before the server has noted it, and must not take it back.
  const [reason, setReason] = useState(rating.reason);
  const [comment, setComment] = useState(rating.comment ?? "");

  function choose(name: Reason): void {
    const chosen = reason === name ? null : name;
    setReason(chosen);
    onChange({ ...rating, reason: chosen });
  }

  function close(): void {
    const said = comment.trim() || null;
    if (said !== rating.comment) onChange({ ...rating, reason, comment: said });
    onClose();
  }

  function key(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  }

  return (
    <form ref={form} onKeyDown={key} onSubmit={(event) => (event.preventDefault(), close())}>
      <fieldset className="reasons">
        <legend>{words(`whyThumb.${rating.thumb}`)}</legend>
        <div className="chips">
          {REASONS[rating.thumb].map((name) => (
            <button key={name} type="button" className="chip" aria-pressed={reason === name} onClick={() => choose(name)}>
              {words(reasonKey(name))}
            </button>
          ))}
        </div>
        <div className="own-words">
          <input value={comment} maxLength={MAX_CHARS} aria-label={words("ownWords")} placeholder={words("ownWords")} onChange={(event) => setComment(event.target.value)} />
          <button type="submit">{words("done")}</button>
        </div>
      </fieldset>
    </form>
  );
}
