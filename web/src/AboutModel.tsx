// The model's card: where it comes from, and for the demonstration model the way to a larger one.
import type { AppState } from "./api";
import { Demonstration } from "./Demonstration";
import { Dialog } from "./Dialog";
import { useWords } from "./i18n";
import { Markdown } from "./Markdown";

export function AboutModel({ model, version, onClose }: { model: AppState["model"]; version: string; onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={model.id} className="about" onClose={onClose}>
      {model.demonstration && <Demonstration modelId={model.id} />}
      <div className="card" tabIndex={0} role="region" aria-label={words("aboutModel")}>
        <Markdown text={model.card_markdown} />
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
