// An answer's Markdown, block by block. Raw HTML stays text, images become links (nothing is ever fetched from another
// host), links open in a new tab and tell nobody where they were clicked.
import { memo, useMemo, type ComponentProps, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remend from "remend";
import { settled, splitBlocks } from "./blocks";
import { CodeBlock } from "./CodeBlock";
import { readGfm } from "./gfm";
import { useWords } from "./i18n";
import { later, useLater } from "./later";
import { mayHoldMaths, normaliseMaths } from "./maths";

export const typesetting = later(() => import("./typesetting"));

/** `growing` says that more text will come: unclosed marks at the end are then closed, so that nothing flashes. */
export function Markdown({ text, growing = false }: { text: string; growing?: boolean }) {
  const blocks = useMemo(() => splitBlocks(text), [text]);
  return (
    <div className="markdown" data-growing={growing}>
      {blocks.map((block, index) => (
        <Block key={index} text={growing && index === blocks.length - 1 ? repaired(block) : block} />
      ))}
    </div>
  );
}

function repaired(block: string): string {
  return remend(settled(block), { linkMode: "text-only" });
}

const Block = memo(function Block({ text }: { text: string }) {
  const maths = useLater(typesetting, mayHoldMaths(text));
  return (
    <ReactMarkdown
      components={COMPONENTS}
      remarkPlugins={[readGfm, ...(maths?.remarkPlugins ?? [])]}
      rehypePlugins={maths?.rehypePlugins ?? []}
    >
      {normaliseMaths(text)}
    </ReactMarkdown>
  );
});

function OutsideLink({ href, children }: { href?: string | undefined; children?: ReactNode }) {
  if (!href) return <>{children}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function WideTable(props: ComponentProps<"table">) {
  const words = useWords();
  // Wide tables scroll by themselves and can be reached by keyboard.
  return (
    <div className="wide" tabIndex={0} role="region" aria-label={words("table")}>
      <table>{props.children}</table>
    </div>
  );
}

export const COMPONENTS: Components = {
  // An answer stands below the page's title and its own: its headings begin at the third level.
  h1: "h3",
  h2: "h3",
  h3: "h4",
  h4: "h5",
  h5: "h6",
  a: ({ href, children }) =>
    // A footnote's link stays on the page, where the address names the conversation: show its text only.
    href?.startsWith("#") ? <>{children}</> : <OutsideLink href={href}>{children}</OutsideLink>,
  img: ({ src, alt }) => (
    <OutsideLink href={typeof src === "string" ? src : undefined}>{alt || (typeof src === "string" ? src : "")}</OutsideLink>
  ),
  table: WideTable,
  // Tables without a heading are written with an empty one.
  th: ({ children, style }) => (children ? <th style={style}>{children}</th> : <td />),
  pre: ({ node }) => {
    const code = node?.children[0];
    if (code?.type !== "element") return null;
    const classes = code.properties["className"];
    const language = Array.isArray(classes) ? String(classes[0] ?? "").replace(/^language-/, "") : "";
    const first = code.children[0];
    return <CodeBlock code={first?.type === "text" ? first.value.replace(/\n$/, "") : ""} language={language} />;
  },
};
