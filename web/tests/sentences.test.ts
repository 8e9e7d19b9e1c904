import { describe, expect, it } from "vitest";
import { sentenceReader } from "../src/sentences";

const SUMMARIES = { code: (lines: number) => `CODE ${lines}.`, table: (rows: number) => `TABLE ${rows}.`, formula: "FORMULA" };
const whole = (text: string, language = "en"): string[] => sentenceReader(language, SUMMARIES)(text, true);

/** What is given out while the text grows by `step` characters at a time, and when it has ended. */
function grown(text: string, step: number, language: string): string[] {
  const read = sentenceReader(language, SUMMARIES);
  const out: string[] = [];
  for (let end = step; end < text.length; end += step) out.push(...read(text.slice(0, end), false));
  return [...out, ...read(text, true)];
}

const TEXTS: [string, string][] = [
  ["en", "Dr. Smith came at 3.5 knots, e.g. by boat. He said \"Go on.\" Then it was over! Was it? Yes, approx. 5 miles."],
  ["de", "Am 3. Mai wehte die Bise, z. B. in Genf. Sie kam mit ca. 60 km/h über den See. Warum? Wegen des Hochdrucks."],
  ["fr", "La bise vient, « la bise va. » M. Dupont le dit ! Et vous ?\n\n- Oui.\n- Non. Jamais."],
  ["es", "¿Qué es la bise? Es un viento frío. ¡Cuidado!\n\n1. Primero.\n2. Segundo. Y más."],
  ["it", "La bise è un vento. Soffia da nord. Il sig. Rossi lo sa.\n\n> Una citazione. Due frasi."],
  ["en", "Use `a. B` first. See [the page. It](https://a.b/c. D) now. It is **bold. Very** so. The speed $v. X$ counts. It costs $5. Not $10. A * b is c_d_e. End"],
  ["en", "## A title\nText. More\nof it.\n```py\nx = 1. Y\n\ny\n```\nAfter.\n\n$$\na. B\n$$\n\n| a | b |\n|---|---|\n| c. D | e |\n\nThe end."],
];

describe("sentences of a growing answer", () => {
  it.each(TEXTS)("are the same however the text arrives (%s)", (language, text) => {
    for (const step of [1, 2, 3, 7, 40]) expect(grown(text, step, language)).toEqual(whole(text, language));
  });

  it("are those a reader would see", () => {
    expect(whole(TEXTS[0]![1])).toEqual([
      "Dr. Smith came at 3.5 knots, e.g. by boat.",
      'He said "Go on."',
      "Then it was over!",
      "Was it?",
      "Yes, approx. 5 miles.",
    ]);
    expect(whole(TEXTS[1]![1], "de")).toEqual([
      "Am 3. Mai wehte die Bise, z. B. in Genf.",
      "Sie kam mit ca. 60 km/h über den See.",
      "Warum?",
      "Wegen des Hochdrucks.",
    ]);
    expect(whole(TEXTS[3]![1], "es")).toEqual(["¿Qué es la bise?", "Es un viento frío.", "¡Cuidado!", "Primero.", "Segundo.", "Y más."]);
  });

  it("name code, tables and formulae and read the words of what is marked", () => {
    expect(whole(TEXTS[6]![1])).toEqual(["A title", "Text.", "More of it.", "CODE 3.", "After.", "FORMULA", "TABLE 1.", "The end."]);
    expect(whole("The speed $v$ of `wind` is *in* [a list](https://a.b).")).toEqual(["The speed FORMULA of wind is in a list."]);
    expect(whole("It costs $5, or \\$10.")).toEqual(["It costs $5, or $10."]);
  });

  it("come as soon as the next has begun, and never before", () => {
    const read = sentenceReader("en", SUMMARIES);
    expect(read("The wind is cold.", false)).toEqual([]);
    expect(read("The wind is cold. I", false)).toEqual(["The wind is cold."]);
    expect(read("The wind is cold. It lasts", false)).toEqual([]);
    expect(read("The wind is cold. It lasts\n\n", false)).toEqual(["It lasts"]);
  });

  it("are never the beginning of one whose answer was stopped", () => {
    const read = sentenceReader("en", SUMMARIES);
    expect(read("One is whole. Two is n", false)).toEqual(["One is whole."]);
    expect(read("One is whole. Two is not", false)).toEqual([]);
  });
});
