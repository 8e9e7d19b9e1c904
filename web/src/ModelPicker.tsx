// Who gives the next answers of a conversation, and the way to what is known about them.
import { Suspense, useState } from "react";
import type { AppState, Model } from "./api";
import { useWords } from "./i18n";
import { InfoIcon } from "./icons";
import { onDemand } from "./onDemand";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

const AboutModel = onDemand(() => import("./AboutModel").then((module) => module.AboutModel));

interface ModelPickerProps {
  app: AppState;
  store: ChatStore;
  chatId: string;
  /** A model on offer, or the name of one that is not any more. */
  model: Model | string;
}

export function ModelPicker({ app, store, chatId, model }: ModelPickerProps) {
  const words = useWords();
  const [aboutOpen, setAboutOpen] = useState(false);
  const [trouble, attempt] = useAttempt();
  const gone = typeof model === "string";
  const name = gone ? model : model.id;
  const about = !gone && aboutOpen && (
    <Suspense>
      <AboutModel model={model} version={app.version} onClose={() => setAboutOpen(false)} />
    </Suspense>
  );
  if (app.models.length === 1 && !gone) {
    return (
      <>
        <button type="button" className="model" title={words("aboutModel")} onClick={() => setAboutOpen(true)}>
          {name}
        </button>
        {about}
      </>
    );
  }
  return (
    <div className="model-picker">
      {trouble !== null && (
        <span className="refusal" role="alert">
          {trouble}
        </span>
      )}
      <select
        className="model"
        value={name}
        aria-label={words("model")}
        title={words("model")}
        onChange={(event) => attempt(store.chooseModel(chatId, event.target.value))}
      >
        {gone && (
          <option value={name} disabled>
            {words("modelGone", { model: name })}
          </option>
        )}
        {app.models.map(({ id, host }) => (
          <option key={id} value={id}>
            {host === null ? id : words("modelElsewhere", { model: id, host })}
          </option>
        ))}
      </select>
      {!gone && (
        <button type="button" className="quiet" aria-label={words("aboutModel")} title={words("aboutModel")} onClick={() => setAboutOpen(true)}>
          <InfoIcon />
        </button>
      )}
      {about}
    </div>
  );
}
