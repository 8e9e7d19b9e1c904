// The models in the store: take one in and follow that, remove one.
import { useCallback, useEffect, useState } from "react";
import { admin, type Models, type StoredModel } from "./admin";
import { Confirm } from "./Confirm";
import { useLocale, usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { useAttempt } from "./useAttempt";

const EVERY_MS = 1500;

export function AdminModels() {
  const words = usePageWords();
  const [state, setState] = useState<Models | null>(null);
  const [removing, setRemoving] = useState<string | null>(null);
  const [trouble, attempt] = useAttempt();
  const load = useCallback(() => admin.models().then(setState), []);
  useEffect(() => attempt(load()), [attempt, load]);
  const running = state?.pull?.status === "running";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => void load().catch(() => undefined), EVERY_MS); // the next one may reach the server
    return () => clearInterval(timer);
  }, [running, load]);

  if (!state) return <Refusal text={trouble} />;
  return (
    <>
      <ul className="rows">
        {state.models.map(({ name, shipped, served, ...facts }) => (
          <li key={name}>
            <span>
              <strong>{name}</strong>
              <span className="fine">
                <Facts facts={facts} />
                {shipped && ` · ${words("people.shipped")}`}
                {served && ` · ${words("people.served")}`}
              </span>
            </span>
            {!shipped && !served && (
              <button type="button" aria-label={words("people.removeOf", { name })} onClick={() => setRemoving(name)}>
                {words("people.remove")}
              </button>
            )}
          </li>
        ))}
      </ul>
      {state.pull && <PullProgress pull={state.pull} onCancel={() => attempt(admin.cancelPull().then(load))} />}
      {!running && <PullForm onPull={(source, name, bits) => attempt(admin.pull(source, name, bits).then(load))} />}
      <Refusal text={trouble} />
      {removing !== null && (
        <Confirm
          title={words("people.removeAsk", { name: removing })}
          warning={words("people.removeHelp")}
          action={words("people.remove")}
          onConfirm={() => admin.removeModel(removing).then(load).then(() => setRemoving(null))}
          onClose={() => setRemoving(null)}
        />
      )}
    </>
  );
}

function Facts({ facts }: { facts: Omit<StoredModel, "name" | "shipped" | "served"> }) {
  const words = usePageWords();
  const locale = useLocale();
  const millions = (value: number) => new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(value / 1e6);
  const { parameters = 0, bits = null, context_length: context = 0, licence, text_licences: ofTexts = [], parents = [], problem } = facts;
  const size = words("people.modelSize", { size: millions(facts.size_bytes) });
  if (problem) return `${size} · ${words("people.modelDamaged", { problem })}`;
  const told = [
    words("people.modelParameters", { millions: millions(parameters) }),
    bits !== null && words("people.modelBits", { bits: String(bits) }),
    size,
    words("people.modelContext", { count: new Intl.NumberFormat(locale).format(context) }),
    licence
      ? words("people.modelLicence", { licence })
      : ofTexts.length > 0
        ? words("people.modelTextLicences", { licences: ofTexts.join(", ") })
        : words("people.modelNoLicence"),
    parents.length > 0 && words("people.modelFrom", { parents: parents.join(", ") }),
  ];
  return told.filter(Boolean).join(" · ");
}

function PullProgress({ pull, onCancel }: { pull: NonNullable<Models["pull"]>; onCancel: () => void }) {
  const words = usePageWords();
  const { name, status, percent, line } = pull;
  return (
    <div className="pull">
      <p role="status">{words(`people.pull.${status}`, { name })}</p>
      {status === "running" && <progress max={100} {...(percent === null ? {} : { value: percent })} aria-label={words("people.pullProgress")} />}
      {line && status !== "cancelled" && <p className="fine">{line}</p>}
      {status === "running" && (
        <button type="button" onClick={onCancel}>
          {words("cancel")}
        </button>
      )}
    </div>
  );
}

function PullForm({ onPull }: { onPull: (source: string, name: string, bits: string | null) => void }) {
  const words = usePageWords();
  const [source, setSource] = useState("");
  const [name, setName] = useState("");
  const [bits, setBits] = useState("");
  return (
    <form
      className="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        onPull(source, name, bits || null);
      }}
    >
      <label>
        {words("people.source")}{" "}
        <input required placeholder="hf:OWNER/NAME" value={source} autoCapitalize="none" spellCheck={false} onChange={(event) => setSource(event.target.value)} />
      </label>
      <label>
        {words("people.nameHere")} <input required value={name} autoCapitalize="none" spellCheck={false} onChange={(event) => setName(event.target.value)} />
      </label>
      <label>
        {words("people.bits")}{" "}
        <select value={bits} onChange={(event) => setBits(event.target.value)}>
          <option value="">{words("people.asItIs")}</option>
          {["4", "8", "16"].map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <button type="submit" className="primary">
        {words("people.pull")}
      </button>
    </form>
  );
}
