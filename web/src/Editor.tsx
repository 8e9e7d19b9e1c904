// A field in place of a text, to write it anew. Escape leaves, Ctrl or ⌘ + Enter saves; nothing else closes it.
import { useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useWords } from "./i18n";
import { useMediaQuery } from "./useMediaQuery";

interface EditorProps {
  label: string;
  text: string;
  action: string;
  hint: string;
  /** Enter alone saves, as in the message field. */
  enterSends?: boolean;
  onSave: (text: string) => void;
  onCancel: () => void;
  children?: ReactNode;
}

export function Editor({ label, text, action, hint, enterSends = false, onSave, onCancel, children }: EditorProps) {
  const words = useWords();
  const field = useRef<HTMLTextAreaElement>(null);
  const hintId = useId();
  const [draft, setDraft] = useState(text);
  const touch = useMediaQuery("(pointer: coarse)");
  const savable = draft.trim() !== "" && draft.trim() !== text.trim();

  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight + 2}px`;
  }, [draft]);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.form?.scrollIntoView({ block: "nearest" });
    field.current?.setSelectionRange(text.length, text.length);
  }, []); // once

  function save(): void {
    if (savable) onSave(draft.trim());
  }

  function key(event: KeyboardEvent): void {
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      onCancel();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (enterSends && !event.shiftKey && !touch))) {
      event.preventDefault();
      save();
    }
  }

  return (
    <form className="editor" onSubmit={(event) => (event.preventDefault(), save())} onKeyDown={key}>
      <textarea ref={field} rows={1} aria-label={label} aria-describedby={hintId} value={draft} onChange={(event) => setDraft(event.target.value)} />
      <div className="editor-actions">
        <p className="fine" id={hintId}>
          {hint}
        </p>
        {children}
        <button type="button" onClick={onCancel}>
          {words("cancel")}
        </button>
        <button type="submit" className="primary" disabled={!savable}>
          {action}
        </button>
      </div>
    </form>
  );
}
