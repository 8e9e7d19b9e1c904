import { describe, expect, it } from "vitest";
import { alignment, probability, splitWords, tokensOf, visible, type Token } from "../src/inside";

const token = (start: number, end: number, logprob = -0.5): Token => ({ start, end, text: "", logprob, top: [] });

describe("tokensOf", () => {
  const tokens = [token(0, 3), token(3, 7), token(6, 9), token(12, 14)];

  it("gives every token that a stretch was made of", () => {
    expect(tokensOf(tokens, 1, 2)).toEqual(tokens.slice(0, 1));
    expect(tokensOf(tokens, 2, 4)).toEqual(tokens.slice(0, 2));
    expect(tokensOf(tokens, 6, 7)).toEqual(tokens.slice(1, 3)); // a character that two tokens share
    expect(tokensOf(tokens, 0, 9)).toEqual(tokens.slice(0, 3));
  });

  it("gives nothing for what has no figures, not even in part", () => {
    expect(tokensOf(tokens, 8, 11)).toEqual([]);
    expect(tokensOf(tokens, 13, 15)).toEqual([]);
    expect(tokensOf(tokens, 9, 13)).toEqual([]);
    expect(tokensOf([], 0, 1)).toEqual([]);
  });
});

it("a word is as likely as its tokens one after the other", () => {
  expect(probability([token(0, 1, Math.log(0.5)), token(1, 2, Math.log(0.25))])).toBeCloseTo(0.125);
});

it("words joined are the text", () => {
  for (const text of ["The wind, at 3.5 m/s – don’t ask.", "東京は雨です。", "  a\n b", "🪿🪿 gęś"]) {
    expect(splitWords(text).join("")).toBe(text);
  }
  expect(splitWords("don’t ask")).toEqual(["don’t", " ", "ask"]);
});

describe("alignment", () => {
  it("finds each character where it was written", () => {
    expect(alignment("wind", "wind")).toEqual([0, 1, 2, 3]);
    expect(alignment("a*b", "a\\*b")).toEqual([0, 2, 3]);
    expect(alignment("a & b", "a &amp; b")).toEqual([0, 1, 2, 7, 8]);
    expect(alignment("a & b", "a & b")).toEqual([0, 1, 2, 3, 4]);
    expect(alignment("a\nb", "a\n   b")).toEqual([0, 1, 5]);
    expect(alignment("🪿x", "🪿x")).toEqual([0, 1, 2]);
    expect(alignment("é", "&eacute;")).toEqual([0]);
  });

  it("gives up where the two do not fit", () => {
    expect(alignment("abc", "abd")).toBeNull();
    expect(alignment("abc", "ab")).toBeNull();
  });
});

it("blanks of tokens can be seen", () => {
  expect(visible(" the\n")).toBe("␣the↵");
});
