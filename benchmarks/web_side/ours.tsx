import "./web/src/styles/index.css";
import { loadWords, SpeechProvider } from "./web/src/i18n";
import { Markdown } from "./web/src/Markdown";

const speech = { language: "en", words: await loadWords("en") };

export const view = (text: string, growing: boolean) => (
  <SpeechProvider speech={speech}>
    <Markdown text={text} growing={growing} />
  </SpeechProvider>
);
