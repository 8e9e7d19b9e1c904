// GitHub's tables, lists of tasks, strikethrough, notes and bare addresses, for reading only: `remark-gfm` also brings
// all that writes Markdown, which nothing here needs.
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";
import type {} from "remark-parse"; // which says that a processor has these lists
import type { Processor } from "unified";

export function readGfm(this: Processor): void {
  const data = this.data();
  (data.micromarkExtensions ??= []).push(gfm());
  (data.fromMarkdownExtensions ??= []).push(gfmFromMarkdown());
}
