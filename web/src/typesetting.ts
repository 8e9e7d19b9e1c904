// KaTeX and its style sheet: a chunk of its own, fetched when the first formula appears.
import "katex/dist/katex.min.css";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";
import type { Options } from "react-markdown";

export const remarkPlugins: NonNullable<Options["remarkPlugins"]> = [remarkMath];
/** `maxSize` is in em: a formula must not be able to cover the page. */
export const rehypePlugins: NonNullable<Options["rehypePlugins"]> = [
  [rehypeKatex, { maxSize: 20, maxExpand: 300, errorColor: "currentColor", strict: "ignore" }],
];
