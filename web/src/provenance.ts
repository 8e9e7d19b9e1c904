// What the page asks about where answers and models come from.
import { request } from "./api";

/** Where words stand in the corpus, with the text around them. */
export interface Place {
  document: string;
  source: string;
  licence: string;
  lang: string;
  before: string;
  words: string;
  after: string;
  title: string;
  url: string;
}

export interface Span {
  text: string;
  num_words: number;
  occurrences: number;
  places: Place[];
}

export type Found =
  | {
      known: "here";
      corpora: string[];
      /** Of the answer's words, how many stand in spans: 0 to 1. */
      share: number;
      /** The answer's text, one piece after another, each with the number of its span. */
      pieces: { text: string; span: number | null }[];
      spans: Span[];
    }
  | { known: "not_here" | "unknown" | "elsewhere"; corpora: string[] };

export type Stage = "model" | "adapter" | "tune" | "train" | "curate" | "tokenizer";

export interface Step {
  name: string;
  stage: Stage;
  sha256: string;
  /** Its files are on this machine, not only its record. */
  here: boolean;
  created: string;
  bise_version: string;
  source_sha256: string;
  licence: string;
  machine: string;
  seconds: number;
  energy_kwh: number | null;
  cost: string;
  command: string;
  files_read: number;
  outputs: number;
  /** The tokens that a training run read. */
  shards: { path: string; num_tokens: number; num_documents: number; sha256: string } | null;
  sources: { name: string; licence: string; origin: string; number: number; kind: "documents" | "conversations" }[];
}

export interface Lineage {
  steps: Step[];
  missing: { name: string; sha256: string }[];
}

export const traceAnswer = (messageId: string) => request<Found>("GET", `/api/messages/${encodeURIComponent(messageId)}/trace`);
export const lineageOf = (model: string) => request<Lineage>("GET", `/api/lineage?model=${encodeURIComponent(model)}`);
