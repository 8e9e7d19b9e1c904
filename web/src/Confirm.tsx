// A question before something that cannot be undone, in a dialog; a refusal is shown there.
import { Dialog } from "./Dialog";
import { usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { useAttempt } from "./useAttempt";

interface ConfirmProps {
  title: string;
  warning: string;
  action: string;
  /** What to do; the dialog closes by what comes after it. */
  onConfirm: () => Promise<void>;
  onClose: () => void;
}

export function Confirm({ title, warning, action, onConfirm, onClose }: ConfirmProps) {
  const words = usePageWords();
  const [trouble, attempt] = useAttempt();
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{warning}</p>
      <Refusal text={trouble} />
      <div className="dialog-actions">
        <button type="button" autoFocus onClick={onClose}>
          {words("cancel")}
        </button>
        <button type="button" className="primary" onClick={() => attempt(onConfirm())}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
