// Tells screen readers when an answer begins and ends, and its whole sentences between; never a token, and never more
// often than can be followed.
import { useCallback, useEffect, useRef, useState } from "react";
import type { Message } from "./api";
import { useLanguage, useWords } from "./i18n";
import { sentenceReader, type SentenceReader } from "./sentences";
import type { Snapshot } from "./snapshot";

/** The least time between two announcements: what comes meanwhile is told together. */
const GAP_MS = 1500;

interface AnnouncerProps {
  spoken: Snapshot["spoken"];
  /** The last message in view; heard while it is being answered. */
  message: Message | null;
}

export function Announcer({ spoken, message }: AnnouncerProps) {
  const words = useWords();
  const [told, tell] = useAnnouncements();
  useSentences(message, tell);
  useEffect(() => {
    if (spoken) tell([words(`${spoken.event}Spoken`)]);
  }, [spoken]); // not when the language changes
  return (
    <div className="unseen" role="status">
      {/* A new element each time, so that the same sentence is spoken again. */}
      {told && (
        <div key={told.count}>
          {told.sentences.map((sentence, index) => (
            <p key={index}>{sentence}</p>
          ))}
        </div>
      )}
    </div>
  );
}

function useAnnouncements() {
  const [told, setTold] = useState<{ sentences: string[]; count: number } | null>(null);
  const waiting = useRef<string[]>([]);
  const timer = useRef<number | null>(null);

  const tellNext = useCallback(() => {
    timer.current = null;
    if (waiting.current.length === 0) return;
    const sentences = waiting.current.splice(0);
    setTold((before) => ({ sentences, count: (before?.count ?? 0) + 1 }));
    timer.current = window.setTimeout(tellNext, GAP_MS);
  }, []);

  const tell = useCallback(
    (sentences: string[]) => {
      waiting.current.push(...sentences);
      if (timer.current === null) tellNext();
    },
    [tellNext],
  );
  return [told, tell] as const;
}

/** Tells the sentences of an answer as they become whole; what was there when it came into view is not told. */
function useSentences(message: Message | null, tell: (sentences: string[]) => void): void {
  const words = useWords();
  const language = useLanguage();
  const heard = useRef<{ id: string; read: SentenceReader } | null>(null);
  useEffect(() => {
    if (message?.id === heard.current?.id) {
      if (message) tell(heard.current!.read(message.content, message.status === "complete"));
      return;
    }
    heard.current = null;
    if (message?.status !== "generating") return;
    const count = (key: "codeSpoken" | "tableSpoken") => (num: number) => words(key, { count: String(num) });
    const read = sentenceReader(language, { code: count("codeSpoken"), table: count("tableSpoken"), formula: words("formulaSpoken") });
    read(message.content, false);
    heard.current = { id: message.id, read };
  }, [message]);
}
