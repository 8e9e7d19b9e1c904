// Copies text and says so, to the eye and to screen readers.
import { useEffect, useState } from "react";
import { useWords } from "./i18n";
import { CheckIcon, CopyIcon } from "./icons";

const SHOWN_MS = 1600;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const words = useWords();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <>
      <button type="button" className="quiet" aria-label={label} title={label} onClick={() => void copy(text).then(setCopied)}>
        {copied ? <CheckIcon /> : <CopyIcon />}
      </button>
      <span className="unseen" role="status">
        {copied ? words("copied") : ""}
      </span>
    </>
  );
}

async function copy(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  // Pages served over plain HTTP from another machine have no clipboard interface.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
