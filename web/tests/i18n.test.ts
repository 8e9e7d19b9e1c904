import { describe, expect, it } from "vitest";
import { LANGUAGES } from "../src/i18n";
import first from "../src/i18n/en.json";
import pages from "../src/i18n/pages/en.json";

const en = { ...first, ...pages };

const placeholders = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();

describe.each(Object.keys(LANGUAGES))("%s", (language) => {
  it("says everything English says, with the same values", async () => {
    const { load, onDemand } = LANGUAGES[language]!;
    const words = { ...(await load()), ...(await onDemand.load()) };
    expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(words)) {
      expect(text.trim(), key).not.toBe("");
      expect(placeholders(text), key).toEqual(placeholders(en[key as keyof typeof en]));
    }
  });
});

it("says nothing twice: what the conversation says is not fetched again with the pages", () => {
  expect(Object.keys(first).filter((key) => key in pages)).toEqual([]);
});

it("keeps French signs with their word at the end of a line; questions to a model are typed as anybody types them", async () => {
  const { load, onDemand } = LANGUAGES["fr"]!;
  const torn = Object.entries({ ...(await load()), ...(await onDemand.load()) }).filter(([, text]) => /« | [:;?!»]/.test(text));
  expect(torn.map(([key]) => key)).toEqual(["example1", "example2", "example3"]);
});
