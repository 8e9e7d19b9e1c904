// An answer whose words can be chosen, to see how likely each was and what else could have stood there.
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type MouseEvent } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import { api, type Message, type Model } from "./api";
import { splitBlocks } from "./blocks";
import { readGfm } from "./gfm";
import { useLocale, usePageWords } from "./i18n";
import { markWords, probability, tokensOf, visible, type Token } from "./inside";
import { useLater } from "./later";
import { COMPONENTS, Markdown, typesetting } from "./Markdown";
import { mayHoldMaths, normaliseMaths } from "./maths";
import type { ChatStore } from "./store";
import { useAnswered } from "./useAnswered";
import { useAttempt } from "./useAttempt";

interface LookInsideProps {
  message: Message;
  chatId: string;
  store: ChatStore;
}

export function LookInside({ message, chatId, store }: LookInsideProps) {
  const [kept, trouble] = useAnswered(() => api.probabilities(chatId, message.id), message.id);
  const words = usePageWords();
  if (kept && kept.tokens.length > 0) return <Inspected text={message.content} tokens={kept.tokens} />;
  return (
    <>
      <Markdown text={message.content} />
      <div role="status">
        {trouble !== null && <p className="refusal">{trouble}</p>}
        {kept && <WhyNot message={message} chatId={chatId} store={store} />}
        {!kept && trouble === null && <p className="fine">{words("loading")}</p>}
      </div>
    </>
  );
}

/** Why an answer has no figures, and the way to have them from now on. */
function WhyNot({ message, chatId, store }: LookInsideProps) {
  const words = usePageWords();
  const [trouble, attempt] = useAttempt();
  const settings = store.settings(chatId);
  const model = store.model(chatId);
  const author = store.snapshot().app?.models.find(({ id }) => id === message.model);
  if (author && !author.tells_probabilities) return <p className="note">{words("glass.neverTold", { model: author.id })}</p>;
  if (settings.keeps_probabilities || !tells(model)) return <p className="note">{words("glass.notKept")}</p>;
  return (
    <p className="note">
      {words("glass.notKept")}{" "}
      <button type="button" className="link" onClick={() => attempt(store.chooseSettings(chatId, { ...settings, keeps_probabilities: true }))}>
        {words("glass.keepNow")}
      </button>
      {trouble !== null && <span className="refusal">{trouble}</span>}
    </p>
  );
}

const tells = (model: Model | string): boolean => typeof model !== "string" && model.tells_probabilities;

/** The word that was chosen, and where on the page its figures go. */
interface Chosen {
  word: string;
  tokens: Token[];
  top: number;
  left: number;
}

function Inspected({ text, tokens }: { text: string; tokens: Token[] }) {
  const words = usePageWords();
  const frame = useRef<HTMLDivElement>(null);
  const current = useRef<HTMLElement | null>(null);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  // Drawn once: while words are chosen only what is said about them changes.
  const drawn = useMemo(() => <Words text={text} tokens={tokens} />, [text, tokens]);

  /** One word at a time can be reached with Tab; the arrows go from word to word. */
  const move = useCallback((to: HTMLElement) => {
    current.current?.setAttribute("tabindex", "-1");
    current.current = to;
    to.setAttribute("tabindex", "0");
  }, []);
  useEffect(() => {
    const first = frame.current?.querySelector<HTMLElement>(".word");
    if (first) move(first);
  }, [drawn, move]);

  useEffect(() => {
    const close = (event: Event) => void ((event.target instanceof Node && frame.current?.contains(event.target)) || setChosen(null));
    document.addEventListener("pointerdown", close);
    window.addEventListener("resize", close); // the words have moved
    return () => {
      document.removeEventListener("pointerdown", close);
      window.removeEventListener("resize", close);
    };
  }, []);

  function choose(element: HTMLElement): void {
    move(element);
    element.focus();
    const box = element.getBoundingClientRect();
    const around = frame.current!.getBoundingClientRect();
    const found = tokensOf(tokens, Number(element.dataset["from"]), Number(element.dataset["to"]));
    setChosen({ word: element.textContent ?? "", tokens: found, top: box.bottom - around.top + 6, left: box.left - around.left });
  }

  function click(event: MouseEvent): void {
    const word = (event.target as HTMLElement).closest<HTMLElement>(".word");
    if (word) choose(word);
    else setChosen(null);
  }

  function key(event: KeyboardEvent): void {
    if (event.key === "Escape" && chosen) {
      event.stopPropagation();
      event.nativeEvent.stopImmediatePropagation();
      return setChosen(null);
    }
    const word = (event.target as HTMLElement).closest<HTMLElement>(".word");
    const next = word && neighbour(frame.current!, word, event.key);
    if (!next) return;
    event.preventDefault();
    choose(next);
  }

  return (
    <>
      <div className="inspected" ref={frame} role="group" aria-label={words("glass.wordsLabel")} onClick={click} onKeyDown={key}>
        {drawn}
        <div role="status">{chosen && <Figures chosen={chosen} width={frame.current?.clientWidth ?? 0} />}</div>
      </div>
      <p className="note">{words("glass.hint")}</p>
    </>
  );
}

/** The word that a key goes to: the one beside, the first, the last, or the same. */
function neighbour(frame: HTMLElement, word: HTMLElement, key: string): HTMLElement | undefined {
  const all = [...frame.querySelectorAll<HTMLElement>(".word")];
  const here = all.indexOf(word);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1, Enter: here, " ": here }[key];
  return to === undefined ? undefined : all[to];
}

const INSPECTED: Components = {
  ...COMPONENTS,
  a: ({ children }) => <u>{children}</u>, // a word within a link could not be chosen
  pre: ({ children }) => (
    <div className="code">
      <pre tabIndex={0}>{children}</pre>
    </div>
  ),
};

function Words({ text, tokens }: { text: string; tokens: Token[] }) {
  const maths = useLater(typesetting, mayHoldMaths(text));
  let start = 0;
  return (
    <div className="markdown">
      {splitBlocks(text).map((written, index) => {
        const parsed = normaliseMaths(written);
        const mark = markWords({ parsed, written, start, tokens });
        start += written.length;
        return (
          <ReactMarkdown
            key={index}
            components={INSPECTED}
            remarkPlugins={[readGfm, ...(maths?.remarkPlugins ?? [])]}
            rehypePlugins={[mark, ...(maths?.rehypePlugins ?? [])]}
          >
            {parsed}
          </ReactMarkdown>
        );
      })}
    </div>
  );
}

const WIDTH_PX = 288;

function Figures({ chosen, width }: { chosen: Chosen; width: number }) {
  const words = usePageWords();
  const percent = usePercent();
  const several = chosen.tokens.length > 1;
  const panel = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => void panel.current?.scrollIntoView({ block: "nearest" }), [chosen]);
  const left = Math.max(0, Math.min(chosen.left, width - WIDTH_PX));
  return (
    <div className="figures" ref={panel} style={{ top: chosen.top, left }}>
      <p>
        <strong>{chosen.word}</strong> {percent(probability(chosen.tokens))}
      </p>
      {several && <p className="fine">{words("glass.pieces", { count: String(chosen.tokens.length) })}</p>}
      {chosen.tokens.map((token, index) => (
        <Alternatives key={index} token={token} />
      ))}
    </div>
  );
}

function Alternatives({ token }: { token: Token }) {
  const words = usePageWords();
  const percent = usePercent();
  const isAmong = token.top.some(([text, logprob]) => text === token.text && Math.abs(logprob - token.logprob) < 0.01);
  const rows: [string, number][] = isAmong ? token.top : [...token.top, [token.text, token.logprob]];
  return (
    <ol aria-label={words("glass.instead", { token: visible(token.text) })}>
      {rows.map(([text, logprob], index) => (
        <li key={index} data-written={text === token.text}>
          <code>{visible(text)}</code>
          <span className="bar" style={{ inlineSize: `${Math.exp(logprob) * 100}%` }} />
          <span className="share">{percent(Math.exp(logprob))}</span>
        </li>
      ))}
    </ol>
  );
}

function usePercent(): (value: number) => string {
  const locale = useLocale();
  return (value) => {
    const digits = value >= 0.1 || value === 0 ? 0 : value >= 0.001 ? 1 : 3;
    return new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: digits }).format(value);
  };
}
