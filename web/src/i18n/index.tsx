// The page's words in five languages. English is the reference: a key missing from another file does not compile.
import { createContext, useContext, type ReactNode } from "react";
import { recall, remember } from "../memory";
import en from "./en.json";

export type WordKey = keyof typeof en;
type Dictionary = Record<WordKey, string>;
export type Words = (key: WordKey, values?: Record<string, string>) => string;

/** Languages by their own names, each fetched when chosen. */
export const LANGUAGES: Record<string, { name: string; load: () => Promise<Dictionary> }> = {
  en: { name: "English", load: () => Promise.resolve(en) },
  fr: { name: "Français", load: () => import("./fr.json").then((file) => file.default) },
  de: { name: "Deutsch", load: () => import("./de.json").then((file) => file.default) },
  es: { name: "Español", load: () => import("./es.json").then((file) => file.default) },
  it: { name: "Italiano", load: () => import("./it.json").then((file) => file.default) },
};

/** The language chosen before, else the browser's first that we speak, else English. */
export function preferredLanguage(): string {
  const wanted = [recall("language"), ...navigator.languages.map((tag) => tag.split("-")[0] ?? "")];
  return wanted.find((language) => language in LANGUAGES) ?? "en";
}

export async function loadWords(language: string): Promise<Words> {
  const dictionary = await (LANGUAGES[language]?.load() ?? Promise.resolve(en));
  return (key, values = {}) => dictionary[key].replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

export function rememberLanguage(language: string): void {
  remember("language", language);
}

export interface Speech {
  language: string;
  words: Words;
}

const SpeechContext = createContext<Speech | null>(null);

export function SpeechProvider({ speech, children }: { speech: Speech; children: ReactNode }) {
  return <SpeechContext value={speech}>{children}</SpeechContext>;
}

function useSpeech(): Speech {
  const speech = useContext(SpeechContext);
  if (!speech) throw new Error("useWords outside SpeechProvider");
  return speech;
}

export const useWords = (): Words => useSpeech().words;
export const useLanguage = (): string => useSpeech().language;
