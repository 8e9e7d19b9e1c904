import { describe, expect, it } from "vitest";
import { LANGUAGES } from "../src/i18n";
import en from "../src/i18n/en.json";

const placeholders = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();

describe.each(Object.keys(LANGUAGES))("%s", (language) => {
  it("says everything English says, with the same values", async () => {
    const words = await LANGUAGES[language]!.load();
    expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(words)) {
      expect(text.trim(), key).not.toBe("");
      expect(placeholders(text), key).toEqual(placeholders(en[key as keyof typeof en]));
    }
  });
});
