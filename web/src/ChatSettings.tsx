// The way to a chat's own settings, marked when it has any.
import { Suspense, useState } from "react";
import type { Model } from "./api";
import { useWords } from "./i18n";
import { SlidersIcon } from "./icons";
import { onDemand } from "./onDemand";
import { isOwn } from "./settings";
import type { ChatStore } from "./store";

const SettingsDialog = onDemand(() => import("./SettingsDialog").then((module) => module.SettingsDialog));

export interface ChatSettingsProps {
  store: ChatStore;
  chatId: string;
  /** A model on offer, or the name of one that is not any more. */
  model: Model | string;
}

export function ChatSettings(props: ChatSettingsProps) {
  const words = useWords();
  const [open, setOpen] = useState(false);
  const own = isOwn(props.store.settings(props.chatId));
  const label = words(own ? "glass.settingsOwn" : "glass.settings");
  return (
    <>
      <button type="button" className="quiet chat-settings" data-own={own} aria-label={label} title={label} onClick={() => setOpen(true)}>
        <SlidersIcon />
      </button>
      {open && (
        <Suspense>
          <SettingsDialog {...props} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
