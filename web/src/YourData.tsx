// Everything that is kept, on one page: what can be taken along, brought in, taken back and erased.
import { ImportFile } from "./ImportFile";
import { useLanguage, useWords } from "./i18n";
import type { ChatStore } from "./store";

export function YourData({ store }: { store: ChatStore }) {
  const words = useWords();
  const language = useLanguage();
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("yourData")}>
      <div className="holding">
        <section>
          <h2>{words("exportTitle")}</h2>
          <p>
            {words("exportHelp")}{" "}
            <a href={`/api/export.zip?language=${language}`} download>
              {words("exportLink")}
            </a>
          </p>
        </section>
        <ImportFile store={store} />
      </div>
    </div>
  );
}
