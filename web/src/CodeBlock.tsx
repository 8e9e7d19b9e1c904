// A block of code with its language, a copy button and, for languages we know, colours.
import { useDeferredValue, useMemo } from "react";
import { CopyButton } from "./CopyButton";
import { useWords } from "./i18n";
import { later, useLater } from "./later";

const highlighting = later(() => import("./highlighting"));

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const words = useWords();
  const colours = useLater(highlighting, language !== "");
  // Colours may lag behind the text by a frame or two; the text itself never does.
  const settled = useDeferredValue(code);
  const coloured = useMemo(() => colours?.highlight(settled, language) ?? null, [colours, settled, language]);
  const colouredLength = coloured && code.startsWith(settled) ? settled.length : 0;
  return (
    <div className="code">
      <div className="code-head">
        <span>{language || words("code")}</span>
        <CopyButton text={code} label={words("copyCode")} />
      </div>
      <pre tabIndex={0} aria-label={language || words("code")}>
        <code>
          {colouredLength > 0 && coloured}
          {code.slice(colouredLength)}
        </code>
      </pre>
    </div>
  );
}
