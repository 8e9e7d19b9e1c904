import "katex/dist/katex.min.css";
import "./web/src/styles/index.css";
import { code } from "@streamdown/code";
import { createMathPlugin } from "@streamdown/math";
import { Streamdown } from "streamdown";

const plugins = { code, math: createMathPlugin({ singleDollarTextMath: true }) };

export const view = (text: string, growing: boolean) => (
  <div className="markdown">
    <Streamdown plugins={plugins} mode="streaming" isAnimating={growing}>
      {text}
    </Streamdown>
  </div>
);
