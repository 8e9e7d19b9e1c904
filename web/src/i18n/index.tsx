// The page's words in five languages. English is the reference: a key missing from another file does not compile.
// What the conversation says comes with the page; what opens on demand says comes with its code, from `pages/`.
import { createContext, use, useContext, useMemo, type ReactNode } from "react";
import { later, type Later } from "../later";
import { recall, remember } from "../memory";
import en from "./en.json";
import type enPages from "./pages/en.json";

export type WordKey = keyof typeof en;
type OnDemandKey = keyof typeof enPages;
export type PageWordKey = WordKey | OnDemandKey;
type Dictionary = Record<WordKey, string>;
type OnDemand = Record<OnDemandKey, string>;
type Saying<Key> = (key: Key, values?: Record<string, string>) => string;
export type Words = Saying<WordKey>;
export type PageWords = Saying<PageWordKey>;

interface Language {
  /** Its own name. */
  name: string;
  load: () => Promise<Dictionary>;
  onDemand: Later<OnDemand>;
}

/** Each language's words are fetched when it is chosen. */
export const LANGUAGES: Record<string, Language> = {
  en: {
    name: "English",
    load: () => Promise.resolve(en),
    onDemand: later(() => import("./pages/en.json").then((file) => file.default)),
  },
  fr: {
    name: "Français",
    load: () => import("./fr.json").then((file) => file.default),
    onDemand: later(() => import("./pages/fr.json").then((file) => file.default)),
  },
  de: {
    name: "Deutsch",
    load: () => import("./de.json").then((file) => file.default),
    onDemand: later(() => import("./pages/de.json").then((file) => file.default)),
  },
  es: {
    name: "Español",
    load: () => import("./es.json").then((file) => file.default),
    onDemand: later(() => import("./pages/es.json").then((file) => file.default)),
  },
  it: {
    name: "Italiano",
    load: () => import("./it.json").then((file) => file.default),
    onDemand: later(() => import("./pages/it.json").then((file) => file.default)),
  },
};

/** The language chosen before, else the browser's first that we speak, else English. */
export function preferredLanguage(): string {
  const wanted = [recall("language"), ...navigator.languages.map((tag) => tag.split("-")[0] ?? "")];
  return wanted.find((language) => language in LANGUAGES) ?? "en";
}

export async function loadWords(language: string): Promise<Words> {
  const chosen = LANGUAGES[language]!;
  const opened = Object.values(LANGUAGES).some(({ onDemand }) => onDemand.value !== null);
  // What is open speaks the new language at once, too.
  const [dictionary] = await Promise.all([chosen.load(), opened ? chosen.onDemand.load() : null]);
  return (key, values) => filled(dictionary[key], values);
}

function filled(text: string, values: Record<string, string> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
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

/** How dates and numbers are written: as the browser's region writes that language. */
export function useLocale(): string {
  const language = useLanguage();
  return navigator.languages.find((tag) => tag.startsWith(`${language}-`)) ?? language;
}

/** All words, for what is wrapped in `onDemand`. */
export function usePageWords(): PageWords {
  const { language, words } = useSpeech();
  const pages = LANGUAGES[language]!.onDemand;
  const dictionary = pages.value ?? use(pages.load());
  return useMemo(
    () => (key, values) => (isOnDemand(key, dictionary) ? filled(dictionary[key], values) : words(key, values)),
    [dictionary, words],
  );
}

const isOnDemand = (key: PageWordKey, dictionary: OnDemand): key is OnDemandKey => key in dictionary;
