// Whole sentences out of a growing Markdown answer, for those who hear it. Code, tables and formulae are named, not read.
// What was given out once never changes: a sentence waits until nothing that may follow could make it longer.
import { fenceEnd, LIST_ITEM } from "./blocks";

/** Names what is not read; `lines` is a count. */
export interface Summaries {
  code: (lines: number) => string;
  table: (rows: number) => string;
  formula: string;
}

/** Gives the sentences that have become whole since it was last called with the answer so far; all, once it has `ended`. */
export type SentenceReader = (text: string, ended: boolean) => string[];

const ROW = /^ {0,3}\|/;
const DELIMITER_ROW = /^[|:\s-]*-[|:\s-]*$/;
const HEADING = /^ {0,3}#{1,6}(?:\s|$)/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|=+[ \t]*)$/;
const DISPLAY_START = /^ {0,3}(?:\$\$|\\\[)/;
const DISPLAY_END = /(?:\$\$|\\\])\s*$/;
/** What stands before a line's own words: quotation marks of Markdown, a list's marker, a task's box, a heading's signs. */
const MARKER = /^(?:\s*>)*\s*(?:(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?)?(?:#{1,6}\s+)?/;
const NESTED_ITEM = /^\s+(?:[-*+]|\d{1,9}[.)])\s/;
const STARTS = [LIST_ITEM, NESTED_ITEM, ROW, HEADING, RULE, DISPLAY_START];
/** A full stop after one of these ends no sentence, nor does one after a single letter or a day of a month. */
const ABBREVIATION =
  /(?:^|[\s(])(?:\p{L}|\d{1,2}|Dr|Mrs?|Ms|Prof|St|vs|etc|No|Fig|Nr|Abb|bzw|ca|usw|Hr|Fr|Mme|Mlle|MM|art|pp|cf|Sra?|Srta|núm|pág|Sig|Dott|pag)\.\s*$/u;

export function sentenceReader(language: string, summaries: Summaries): SentenceReader {
  const segmenter = new Intl.Segmenter(language, { granularity: "sentence" });
  let position = 0; // of the first line that may still give sentences
  let given = 0; // of the paragraph that begins there

  return (text, ended) => {
    const out: string[] = [];
    while (position < text.length) {
      const piece = nextPiece(text.slice(position), ended);
      if (piece === null) break;
      const said = sayingOf(piece, segmenter, summaries);
      out.push(...said.slice(given));
      given = piece.whole ? 0 : Math.max(given, said.length);
      if (!piece.whole) break;
      position += piece.length;
    }
    return out;
  };
}

interface Piece {
  kind: "prose" | "code" | "table" | "formula" | "nothing";
  lines: string[];
  /** Nothing that follows belongs to it. */
  whole: boolean;
  length: number;
}

/** The code, table, formula or paragraph that `text` begins with; null while that cannot be told, or is not whole. */
function nextPiece(text: string, ended: boolean): Piece | null {
  const lines = text.split(/(?<=\n)/);
  const complete = ended ? lines.length : lines.length - (lines.at(-1)!.endsWith("\n") ? 0 : 1);
  const first = lines[0]!;
  const take = (kind: Piece["kind"], count: number): Piece | null =>
    count > complete ? null : { kind, lines: lines.slice(0, count), whole: true, length: lines.slice(0, count).join("").length };
  const closing = fenceEnd(first);
  if (closing) return take("code", endAfter(lines, (line, at) => at > 0 && closing.test(line), ended));
  if (DISPLAY_START.test(first)) {
    return take("formula", endAfter(lines, (line, at) => DISPLAY_END.test(at > 0 ? line : line.replace(DISPLAY_START, "")), ended));
  }
  if (ROW.test(first)) {
    const after = lines.findIndex((line) => !ROW.test(line));
    const isKnown = ended || (after > 0 && after < complete);
    return isKnown ? take("table", after < 0 ? lines.length : after) : null;
  }
  if (complete > 0 && (first.trim() === "" || RULE.test(first))) return take("nothing", 1);
  return paragraph(lines, complete, ended);
}

/** How many lines there are up to the one that ends something; more than there are while it has not come. */
function endAfter(lines: string[], isEnd: (line: string, at: number) => boolean, ended: boolean): number {
  const at = lines.findIndex(isEnd);
  if (at >= 0) return at + 1;
  return ended ? lines.length : lines.length + 1;
}

function paragraph(lines: string[], complete: number, ended: boolean): Piece {
  const next = HEADING.test(lines[0]!) ? 1 : lines.findIndex((line, at) => at > 0 && at < complete && beginsAnother(line));
  const isWhole = ended || (next > 0 && next <= complete);
  // A last line that is not whole may turn out to begin something else.
  const own = lines.slice(0, next > 0 ? next : Math.max(complete, 1));
  return { kind: "prose", lines: own, whole: isWhole, length: own.join("").length };
}

function beginsAnother(line: string): boolean {
  return line.trim() === "" || STARTS.some((start) => start.test(line)) || fenceEnd(line) !== null;
}

function sayingOf({ kind, lines, whole }: Piece, segmenter: Intl.Segmenter, summaries: Summaries): string[] {
  if (kind === "nothing") return [];
  if (kind === "formula") return [summaries.formula];
  if (kind === "code") return [summaries.code(lines.slice(1).filter((line) => !/^ {0,3}(?:`{3,}|~{3,})\s*$/.test(line)).length)];
  if (kind === "table") return [summaries.table(Math.max(0, lines.filter((line) => !DELIMITER_ROW.test(line.trim())).length - 1))];
  const raw = lines.map((line) => line.replace(MARKER, "").trimEnd()).join(" ");
  return split(plain(raw, whole, summaries.formula), whole, segmenter);
}

/** A paragraph's words without marks; what an open code, link or formula may change is left out until it is closed. */
function plain(text: string, whole: boolean, formula: string): string {
  const read = text
    .replace(/\\\((.+?)\\\)/g, formula)
    .replace(/\\([!-/:-@[-`{-~])/g, (_, mark: string) => (mark === "(" || mark === "[" ? `\\${mark}` : mark === "$" ? "\uE000" : mark))
    .replace(/(`+)(?!`)(.+?)(?<!`)\1(?!`)/g, (_, _ticks: string, code: string) => code.trim().replaceAll("$", "\uE000"))
    .replace(/!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, "$1")
    .replace(/\[([^\][]*)\](?=[^([])/g, "$1")
    .replace(/<((?:https?|mailto):[^>\s]+)>/g, "$1")
    .replace(/\$\$.+?\$\$|(?<!\$)\$(?![\s$])([^$]*?[^\s$])\$(?![\d$])/g, formula)
    .replace(/\$(?=\d)/g, "\uE000")
    .replace(/\*+(?=\S)|(?<=\S)\*+|~~|(?<![\p{L}\p{N}])_+(?=\S)|(?<=\S)_+(?![\p{L}\p{N}])/gu, "");
  const open = whole ? -1 : read.search(/[`[$]|\\[([]/);
  return (open < 0 ? read : read.slice(0, open)).replaceAll("\uE000", "$").replace(/\s+/g, " ");
}

/** The sentences that are over: all of a whole paragraph, else those after which another has begun with a letter. */
function split(text: string, whole: boolean, segmenter: Intl.Segmenter): string[] {
  const sentences: string[] = [];
  let open = "";
  for (const { segment } of segmenter.segment(text)) {
    if (open && /\p{L}/u.test(segment) && !ABBREVIATION.test(open)) {
      sentences.push(open.trim());
      open = "";
    }
    open += segment;
  }
  if (whole && open.trim()) sentences.push(open.trim());
  return sentences.filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}
