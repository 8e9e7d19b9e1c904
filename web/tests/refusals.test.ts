import { expect, it } from "vitest";
import { failure, sayRefusal } from "../src/i18n/refusals";
import de from "../src/i18n/refusals/de.json";
import es from "../src/i18n/refusals/es.json";
import fr from "../src/i18n/refusals/fr.json";
import it_ from "../src/i18n/refusals/it.json";

const placeholders = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();

it.each(Object.entries({ de, es, it: it_ }))("has the same sentences with the same values in French and %s", (_, other) => {
  expect(Object.keys(other)).toEqual(Object.keys(fr));
  for (const [key, text] of Object.entries(other)) expect(placeholders(text), key).toEqual(placeholders(fr[key as keyof typeof fr]));
});

it("keeps French signs with their word at the end of a line", () => {
  expect(Object.values(fr).filter((text) => /« | [:;?!»]/.test(text))).toEqual([]);
});

it("fills in the values, numbers as the language writes them", () => {
  const refused = { message: "The limit is reached.", code: "rate_limited", values: { kind: "tokens", limit: 1200, seconds: 3 } };
  expect(sayRefusal(refused, de, "de")).toBe("Ihre Grenze ist erreicht: 1.200 Tokens je Minute. Fragen Sie in 3 s noch einmal.");
});

it("says the server's sentence where it has none of its own", () => {
  for (const code of [null, "unheard_of", "rate_limited"]) {
    expect(sayRefusal({ message: "Not now.", code, values: {} }, de, "de")).toBe("Not now.");
  }
  expect(sayRefusal({ message: "Gone.", code: "not_found", values: {} }, {}, "en")).toBe("Gone.");
});

it("knows a failure without a code, and no failure", () => {
  expect(failure("It broke.", null)).toEqual({ message: "It broke.", code: null, values: {} });
  expect(failure(null, null)).toBeNull();
});
