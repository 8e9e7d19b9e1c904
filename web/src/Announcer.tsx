// Tells screen readers when an answer begins and when it ends; never every token.
import { useWords } from "./i18n";
import type { Snapshot } from "./store";

export function Announcer({ spoken }: { spoken: Snapshot["spoken"] }) {
  const words = useWords();
  return (
    <div className="unseen" role="status">
      {/* A new element each time, so that the same sentence is spoken again. */}
      {spoken && <span key={spoken.count}>{words(`${spoken.event}Spoken`)}</span>}
    </div>
  );
}
