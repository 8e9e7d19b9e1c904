// What is known of a model: its card, everything that it was made from, and for the demonstration model the way to a larger one.
import type { Model } from "./api";
import { Demonstration } from "./Demonstration";
import { Dialog } from "./Dialog";
import { useLocale, usePageWords } from "./i18n";
import { LineageView } from "./LineageView";
import { Markdown } from "./Markdown";

export function AboutModel({ model, version, onClose }: { model: Model; version: string; onClose: () => void }) {
  const words = usePageWords();
  const context = new Intl.NumberFormat(useLocale()).format(model.context_length);
  return (
    <Dialog title={words("aboutModel")} className="about" onClose={onClose}>
      <div className="card" tabIndex={0} role="region" aria-label={model.id}>
        {model.demonstration && <Demonstration modelId={model.id} />}
        {model.card_markdown ? <Markdown text={model.card_markdown} /> : <p>{words("noCard")}</p>}
        <p className="fine">{words("contextLength", { count: context })}</p>
        {model.host === null && <LineageView model={model.id} />}
      </div>
      <div className="dialog-actions">
        <span className="fine">Bise {version}</span>
        <button type="button" className="primary" onClick={onClose}>
          {words("close")}
        </button>
      </div>
    </Dialog>
  );
}
