// Everything that is kept, on one page: what it is, and how it is taken along, brought in and erased.
import { useState } from "react";
import { EraseEverything } from "./EraseEverything";
import { ImportFile } from "./ImportFile";
import { useLanguage, usePageWords } from "./i18n";
import { SharedLinks } from "./SharedLinks";
import type { ChatStore } from "./store";
import { WhatIsStored } from "./WhatIsStored";

export function YourData({ store }: { store: ChatStore }) {
  const words = usePageWords();
  const language = useLanguage();
  const [version, setVersion] = useState(0);
  const change = () => setVersion((before) => before + 1);
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("yourData")}>
      <div className="holding">
        <WhatIsStored version={String(version)} accounts={store.snapshot().app?.accounts === true} />
        <section>
          <h2>{words("exportTitle")}</h2>
          <p>
            {words("exportHelp")}{" "}
            <a href={`/api/export.zip?language=${language}`} download>
              {words("exportLink")}
            </a>
          </p>
        </section>
        <ImportFile store={store} onImported={change} />
        <SharedLinks version={String(version)} />
        <EraseEverything key="erase" store={store} onErased={change} />
      </div>
    </div>
  );
}
