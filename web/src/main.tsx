import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { loadWords, preferredLanguage } from "./i18n";
import { ChatStore } from "./store";
import "./styles/index.css";

const language = preferredLanguage();
const words = await loadWords(language);
const store = new ChatStore();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App store={store} firstSpeech={{ language, words }} />
  </StrictMode>,
);
