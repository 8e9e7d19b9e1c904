// What a model thought before it answered: one line, opened by a click. The choice is remembered for all answers.
import { useEffect, useId, useRef, useState } from "react";
import type { Message } from "./api";
import { useLocale, useWords } from "./i18n";
import { NextIcon } from "./icons";
import { Markdown } from "./Markdown";
import { recall, remember } from "./memory";

const CHOICE = "thinking";

export function Thinking({ message }: { message: Message }) {
  const words = useWords();
  const id = useId();
  const [open, setOpen] = useState(() => recall(CHOICE) === "open");
  const thinking = message.status === "generating" && message.content === "";
  const seconds = new Intl.NumberFormat(useLocale()).format(useSeconds(message, thinking));

  function toggle(): void {
    remember(CHOICE, open ? "" : "open");
    setOpen(!open);
  }

  return (
    <div className="thinking" data-open={open}>
      <button type="button" className="thinking-line" aria-expanded={open} aria-controls={open ? id : undefined} onClick={toggle}>
        <NextIcon />
        <span className={thinking ? "reading" : undefined}>{words(thinking ? "glass.thinking" : "glass.thought", { seconds })}</span>
      </button>
      {open && (
        <div className="thoughts" id={id}>
          <Markdown text={message.thinking ?? ""} growing={thinking} />
        </div>
      )}
    </div>
  );
}

/** How long it has thought: the server's count, and the seconds since that came. */
function useSeconds(message: Message, thinking: boolean): number {
  const began = useRef(performance.now() - 1000 * (message.stats?.thinking_s ?? 0));
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    if (!thinking) return;
    const count = () => setSeconds(Math.floor((performance.now() - began.current) / 1000));
    count();
    const timer = setInterval(count, 500);
    return () => clearInterval(timer);
  }, [thinking]);
  return message.status === "generating" ? seconds : Math.round(message.stats?.thinking_s ?? seconds);
}
