// The way to a read-only link to a conversation.
import { Suspense, useState } from "react";
import { useWords } from "./i18n";
import { ShareIcon } from "./icons";
import { onDemand } from "./onDemand";
import type { ChatStore } from "./store";

const ShareConversation = onDemand(() => import("./ShareConversation").then((module) => module.ShareConversation));

export function ShareButton({ store, id, title }: { store: ChatStore; id: string; title: string }) {
  const words = useWords();
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="quiet" aria-label={words("share")} title={words("share")} onClick={() => setOpen(true)}>
        <ShareIcon />
      </button>
      <Suspense>{open && <ShareConversation store={store} id={id} title={title} onClose={() => setOpen(false)} />}</Suspense>
    </>
  );
}
