import { StrictMode, Suspense } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { loadWords, preferredLanguage, SpeechProvider } from "./i18n";
import { onDemand } from "./onDemand";
import { SHARE_PATH } from "./sharing";
import { ChatStore } from "./store";
import "./styles/index.css";

const Shared = onDemand(() => import("./Shared").then((module) => module.Shared));
const language = preferredLanguage();
const words = await loadWords(language);
const speech = { language, words };
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    {location.pathname === SHARE_PATH ? (
      <SpeechProvider speech={speech}>
        <Suspense>
          <Shared token={location.hash.slice(1)} />
        </Suspense>
      </SpeechProvider>
    ) : (
      <App store={new ChatStore()} firstSpeech={speech} />
    )}
  </StrictMode>,
);
