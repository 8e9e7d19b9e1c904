// From an answer's tokens to its words, and from the words on the page back to where they stand in the text; pure
// functions. Places are counted in UTF-16 code units of the answer's text, as the server counts them.
import type { Element, Root, RootContent, Text } from "hast";
import type { Token } from "./server";

export type { Token } from "./server";

/** The tokens that a stretch of text was made of; none when not all of it has figures. */
export function tokensOf(tokens: Token[], from: number, to: number): Token[] {
  const found: Token[] = [];
  let covered = from;
  for (let index = firstEndingAfter(tokens, from); index < tokens.length; index++) {
    const token = tokens[index]!;
    if (token.start >= to) break;
    if (token.start > covered) return [];
    found.push(token);
    covered = token.end;
  }
  return covered >= to ? found : [];
}

function firstEndingAfter(tokens: Token[], place: number): number {
  let [low, high] = [0, tokens.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tokens[middle]!.end <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How likely a word was: each of its tokens after those before it. */
export const probability = (tokens: Token[]): number => Math.exp(tokens.reduce((sum, token) => sum + token.logprob, 0));

/** Words, and what stands between them; joined by nothing, they are the text. */
export function splitWords(text: string): string[] {
  return Array.from(new Intl.Segmenter(undefined, { granularity: "word" }).segment(text), ({ segment }) => segment);
}

/**
 * For each character of a text as it is shown, where it stands in the Markdown that it came from: escapes, entities and
 * indents take more room there. Null when the two do not fit.
 */
export function alignment(shown: string, source: string): number[] | null {
  const places: number[] = [];
  let at = 0;
  for (const character of shown) {
    while (source[at] === "\\" || source[at] === " " || source[at] === "\t") {
      if (source[at] === character) break;
      at++;
    }
    const entity = character !== "&" || source[at + 1] === "a" || source[at + 1] === "#" ? ENTITY.exec(source.slice(at))?.[0] : undefined;
    const length = entity?.length ?? (source.startsWith(character, at) ? character.length : 0);
    if (length === 0) return null;
    for (let unit = 0; unit < character.length; unit++) places.push(at + (entity ? 0 : unit));
    at += length;
  }
  return places;
}

const ENTITY = /^&(?:#\w+|\w+);/;

/** What the plugin knows of one block of Markdown. */
interface Block {
  /** As the parser reads it. */
  parsed: string;
  /** As the model wrote it, and where it begins in the answer. */
  written: string;
  start: number;
  tokens: Token[];
}

/** A rehype plugin that makes every word with figures an element of its own, with its place. */
export function markWords(block: Block) {
  return () => (tree: Root) => {
    let cursor = 0;
    const visit = (parent: Root | Element): void => {
      parent.children = parent.children.flatMap((child): (Text | Element)[] => {
        if (child.type === "text") {
          const place = placeOf(child, parent, block, cursor);
          if (place === null) return [child];
          cursor = place.end;
          return wordElements(child.value, place.places, block);
        }
        if (child.type === "element" && !isMaths(child)) visit(child);
        return [child as Element];
      }) as RootContent[] & Element["children"];
    };
    visit(tree);
  };
}

const isMaths = (element: Element): boolean => String(element.properties["className"] ?? "").includes("math");

/** Where the characters of a text stand in the block as it was written. */
function placeOf(text: Text, parent: Root | Element, block: Block, cursor: number): { places: number[]; end: number } | null {
  const { position } = text.position ? text : parent;
  const [start, end] = [position?.start.offset, position?.end.offset];
  if (start === undefined || end === undefined) return null;
  let source = block.parsed.slice(start, end);
  let at = start;
  if (parent.type === "element" && parent.tagName === "code") {
    const inner = source.indexOf(text.value, text.position ? 0 : source.indexOf("\n") + 1);
    if (inner < 0) return null;
    source = text.value;
    at += inner;
  }
  if (block.parsed !== block.written) {
    source = source.replaceAll("\\$", "$");
    at = block.written.indexOf(source, cursor);
    if (at < 0) return null;
  }
  const places = parent.type === "element" && parent.tagName === "code" ? Array.from(source, (_, index) => index) : alignment(text.value, source);
  return places && { places: places.map((place) => at + place), end: at + source.length };
}

function wordElements(value: string, places: number[], block: Block): (Text | Element)[] {
  let at = 0;
  return splitWords(value).map((word) => {
    const from = places[at]!;
    const last = places[at + word.length - 1]!;
    at += word.length;
    const tokens = word.trim() === "" ? [] : tokensOf(block.tokens, block.start + from, block.start + last + 1);
    if (tokens.length === 0) return { type: "text", value: word };
    const properties = {
      className: ["word"],
      role: "button",
      tabIndex: -1,
      dataFrom: block.start + from,
      dataTo: block.start + last + 1,
      dataLevel: level(probability(tokens)),
    };
    return { type: "element", tagName: "span", properties, children: [{ type: "text", value: word }] };
  });
}

/** How sure the model was, in three steps that can be seen at a glance. */
function level(value: number): string {
  return value >= 0.9 ? "sure" : value >= 0.5 ? "likely" : "open";
}

/** A token so that blanks and line breaks can be seen. */
export const visible = (text: string): string => text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
