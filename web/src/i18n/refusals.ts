// What the server refuses, in the page's language: by the code of the refusal and with its values. The server's own
// sentence is English; it stands where there is no other.
import { later, useLater, type Later } from "../later";
import { useLanguage, useLocale, useWords } from "./index";
import type fr from "./refusals/fr.json";

type Dictionary = Record<keyof typeof fr, string>;

export interface Refused {
  /** The server's sentence; empty: it could not be reached. */
  message: string;
  code: string | null;
  /** Those of the sentence; `kind` tells refusals of one code apart. */
  values: Readonly<Record<string, string | number>>;
}

/** What failed by itself, not by an answer of the server's. */
export function failure(message: string | null, facts: Pick<Refused, "code" | "values"> | null): Refused | null {
  return message === null ? null : { message, ...(facts ?? { code: null, values: {} }) };
}

const ENGLISH: Later<Partial<Dictionary>> = { value: {}, load: () => Promise.resolve({}) };
const REFUSALS: Record<string, Later<Partial<Dictionary>>> = {
  fr: fetched(() => import("./refusals/fr.json")),
  de: fetched(() => import("./refusals/de.json")),
  es: fetched(() => import("./refusals/es.json")),
  it: fetched(() => import("./refusals/it.json")),
};

function fetched(load: () => Promise<{ default: Dictionary }>): Later<Partial<Dictionary>> {
  // Words that cannot be had leave the English sentence.
  return later(() => load().then((file) => file.default, () => ({})));
}

/** The sentence that says why something was refused; null: nothing was, or its words are on their way. */
export function useRefusal(refused: Refused | null): string | null {
  const words = useWords();
  const locale = useLocale();
  const answered = refused !== null && refused.message !== ""; // else the server is away, and has no dictionary either
  const dictionary = useLater(REFUSALS[useLanguage()] ?? ENGLISH, answered);
  if (!refused) return null;
  if (!answered) return words("unreachable");
  return dictionary && sayRefusal(refused, dictionary, locale);
}

export function sayRefusal({ message, code, values }: Refused, dictionary: Partial<Dictionary>, locale: string): string {
  const key = values.kind === undefined ? code : `${code}.${values.kind}`;
  const said = dictionary[key as keyof Dictionary];
  if (said === undefined) return message;
  const number = new Intl.NumberFormat(locale);
  return said.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return typeof value === "number" ? number.format(value) : (value ?? whole);
  });
}
