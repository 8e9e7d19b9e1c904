// A field of a form with its label, and one for a password that can be shown.
import { useId, useState, type InputHTMLAttributes } from "react";
import { usePageWords } from "./i18n";

type FieldProps = Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> & {
  label: string;
  hint?: string;
  onText: (text: string) => void;
};

export function Field({ label, hint, onText, ...input }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} required aria-describedby={hint ? `${id}-hint` : undefined} onChange={(event) => onText(event.target.value)} {...input} />
      {hint && (
        <p className="fine" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** For one that is chosen: as long as the server asks for. */
export const NEW_PASSWORD = { autoComplete: "new-password", minLength: 12 };

export function PasswordField(props: FieldProps) {
  const words = usePageWords();
  const [shown, setShown] = useState(false);
  return (
    <div className="password">
      <Field type={shown ? "text" : "password"} spellCheck={false} autoCapitalize="none" maxLength={1000} {...props} />
      <label className="fine">
        <input type="checkbox" checked={shown} onChange={(event) => setShown(event.target.checked)} /> {words("people.showPassword")}
      </label>
    </div>
  );
}
