// Cuts Markdown into top-level blocks. While an answer grows only its last block changes, so only that one is parsed
// and painted again.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const MATHS = /^ {0,3}\$\$/;
export const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;
/** The last line of growing text: a list marker, a rule or a heading may be about to come. */
const MARKER_START = /^[ \t]*(?:\d{1,9}[.)]?|[-*+=]+|#{1,6}|>)[ \t]*$/;
const INDENTED = /^(?: {2,}|\t)/;
/** `[name]: address` and `[^1]: note` reach across blocks. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

/** Blocks which, joined by nothing, give `text` again. */
export function splitBlocks(text: string): string[] {
  if (DEFINITION.test(text)) return [text];
  const blocks: string[] = [];
  let current: string[] = [];
  let closing: RegExp | null = null;
  let inList = false;
  let afterBlank = false;

  for (const line of text.split(/(?<=\n)/)) {
    const blank = line.trim() === "";
    if (closing) {
      if (closing.test(line)) closing = null;
    } else {
      const continuesList = inList && (LIST_ITEM.test(line) || INDENTED.test(line) || /^ {0,3}\d{1,9}$/.test(line));
      // Indented text after a blank line is code, or belongs to the list above: never a block of its own beginning.
      if (afterBlank && !blank && !continuesList && !INDENTED.test(line)) {
        blocks.push(current.join(""));
        current = [];
        inList = false;
      }
      if (!blank && current.every((earlier) => earlier.trim() === "")) inList = LIST_ITEM.test(line);
      closing = closingOf(line);
    }
    current.push(line);
    afterBlank = blank;
  }
  if (current.length) blocks.push(current.join(""));
  return blocks;
}

/** What closes the fenced code that a line opens; null when it opens none. */
export function fenceEnd(line: string): RegExp | null {
  const fence = FENCE.exec(line)?.[1];
  return fence ? new RegExp(`^ {0,3}${fence[0]}{${fence.length},}\\s*$`) : null;
}

function closingOf(line: string): RegExp | null {
  const fence = fenceEnd(line);
  if (fence) return fence;
  if (MATHS.test(line) && !/\$\$.*\$\$/.test(line)) return /\$\$\s*$/;
  return null;
}

/**
 * The last block of growing text without what cannot be shown yet: a lone list marker, and the beginning of a table
 * until its second line shows that it is one. Either would flash as something else.
 */
export function settled(block: string): string {
  const lines = block.split("\n");
  if (MARKER_START.test(lines.at(-1) ?? "")) return lines.slice(0, -1).join("\n");
  const [first = "", second = ""] = block.trimStart().split("\n");
  const rows = block.trimStart().split("\n").length;
  return first.startsWith("|") && rows <= 2 && !/^[|:\s-]*-[|:\s-]*\|\s*$/.test(second) ? "" : block;
}
