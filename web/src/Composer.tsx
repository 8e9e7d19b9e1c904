// Where one writes. Enter sends on keyboards and breaks the line on touch screens; input methods are left in peace.
import { useEffect, useLayoutEffect, type KeyboardEvent, type RefObject } from "react";
import { useWords } from "./i18n";
import { SendIcon, StopIcon } from "./icons";
import { useMediaQuery } from "./useMediaQuery";

interface ComposerProps {
  field: RefObject<HTMLTextAreaElement | null>;
  text: string;
  /** A question is on its way or being answered: one may write, not send. */
  busy: boolean;
  generating: boolean;
  modelId: string;
  /** The other server that messages go to. */
  host: string | null;
  onText: (text: string) => void;
  onSend: (text: string) => void;
  onStop: () => void;
}

/** Where the style sheet's `field-sizing` is known, nothing has to be measured. */
const GROWS_ITSELF = CSS.supports("field-sizing", "content");

export function Composer({ field, text, busy, generating, modelId, host, onText, onSend, onStop }: ComposerProps) {
  const words = useWords();
  const touch = useMediaQuery("(pointer: coarse)");
  const sendable = text.trim() !== "" && !busy;

  useLayoutEffect(() => {
    const element = field.current;
    if (!element || GROWS_ITSELF) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [field, text]);
  useEffect(() => {
    if (!touch) field.current?.focus();
  }, [field, touch]);

  function send(): void {
    if (sendable) onSend(text.trim());
  }

  function key(event: KeyboardEvent): void {
    // Code 229 is how Safari reports the Enter that ends a composition.
    const composing = event.nativeEvent.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing || touch) return;
    event.preventDefault();
    send();
  }

  return (
    <div className="composer-dock">
      <form className="composer" onSubmit={(event) => (event.preventDefault(), send())}>
        <label className="unseen" htmlFor="composer">
          {words("message")}
        </label>
        <textarea
          id="composer"
          ref={field}
          rows={1}
          value={text}
          placeholder={words("askSomething")}
          enterKeyHint={touch ? "enter" : "send"}
          onChange={(event) => onText(event.target.value)}
          onKeyDown={key}
        />
        {generating ? (
          <button type="button" className="send" aria-label={words("stop")} title={`${words("stop")} (Esc)`} onClick={onStop}>
            <StopIcon />
          </button>
        ) : (
          <button type="submit" className="send" aria-label={words("send")} title={words("send")} disabled={!sendable}>
            <SendIcon />
          </button>
        )}
      </form>
      <p className={host === null ? "fine" : "fine leaves"}>
        {host === null ? words("private", { model: modelId }) : words("leaves", { model: modelId, host })}
      </p>
    </div>
  );
}
