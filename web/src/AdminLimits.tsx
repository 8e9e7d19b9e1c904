// What somebody, or everybody without own limits, may use.
import { useState } from "react";
import { admin, LIMITS, type LimitName, type Limits } from "./admin";
import { Dialog } from "./Dialog";
import { Field } from "./Field";
import { usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { useAttempt } from "./useAttempt";

interface AdminLimitsProps {
  limits: Limits;
  onSaved: () => void;
  onClose: () => void;
}

export function AdminLimits({ limits, onSaved, onClose }: AdminLimitsProps) {
  const words = usePageWords();
  const [texts, setTexts] = useState(() => Object.fromEntries(LIMITS.map((name) => [name, String(limits[name] ?? "")])) as Record<LimitName, string>);
  const [trouble, attempt] = useAttempt();
  const name = limits.subject.startsWith("user:") ? limits.subject.slice(5) : null;

  async function save(): Promise<void> {
    const numbers = Object.fromEntries(LIMITS.map((each) => [each, texts[each] === "" ? null : Number(texts[each])]));
    await admin.setLimits({ ...limits, ...numbers });
    onSaved();
    onClose();
  }

  return (
    <Dialog title={name === null ? words("people.limitsEverybody") : words("people.limitsOf", { name })} onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          attempt(save());
        }}
      >
        <p className="fine">{words("people.limitsHelp")}</p>
        {LIMITS.map((each) => (
          <Field
            key={each}
            type="number"
            min={each === "requests_per_s" ? "0.001" : "1"}
            step={each === "requests_per_s" ? "any" : "1"}
            required={false}
            label={words(`people.limit.${each}`)}
            value={texts[each]}
            onText={(text) => setTexts({ ...texts, [each]: text })}
          />
        ))}
        <Refusal text={trouble} />
        <div className="dialog-actions">
          <button type="button" onClick={onClose}>
            {words("cancel")}
          </button>
          <button type="submit" className="primary">
            {words("save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
