// The dialog of a chat's own settings: its system prompt, its parameters, and whether it keeps how likely each word was.
import { useId, useState, type FormEvent } from "react";
import type { Model, Parameters, Settings } from "./api";
import type { ChatSettingsProps } from "./ChatSettings";
import { Dialog } from "./Dialog";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { Refusal } from "./Refusal";
import { AS_EVER, isOwn } from "./settings";
import { useAttempt } from "./useAttempt";

/** The fields for numbers; a field left empty is as by default. */
const FIELDS: { name: keyof Parameters; label: PageWordKey; hint: PageWordKey; min: number; max: number; step: number }[] = [
  { name: "temperature", label: "glass.temperature", hint: "glass.temperatureHint", min: 0, max: 2, step: 0.05 },
  { name: "top_p", label: "glass.topP", hint: "glass.topPHint", min: 0.01, max: 1, step: 0.01 },
  { name: "max_tokens", label: "glass.maxTokens", hint: "glass.maxTokensHint", min: 1, max: 1_000_000, step: 1 },
  { name: "seed", label: "glass.seed", hint: "glass.seedHint", min: 0, max: 2 ** 31 - 1, step: 1 },
];

export function SettingsDialog({ store, chatId, model, onClose }: ChatSettingsProps & { onClose: () => void }) {
  const words = usePageWords();
  const [settings, setSettings] = useState(store.settings(chatId));
  const [trouble, attempt] = useAttempt();
  const tells = typeof model === "string" || model.tells_probabilities;

  function save(event: FormEvent): void {
    event.preventDefault();
    const prompt = settings.system_prompt?.trim() || null;
    attempt(store.chooseSettings(chatId, { ...settings, system_prompt: prompt }).then(onClose));
  }

  return (
    <Dialog title={words("glass.settings")} className="settings" onClose={onClose}>
      <form onSubmit={save}>
        <p className="fine">{words("glass.settingsLead")}</p>
        <label className="field">
          <span>{words("glass.systemPrompt")}</span>
          <textarea
            rows={4}
            maxLength={20_000}
            placeholder={words("glass.systemPromptExample")}
            value={settings.system_prompt ?? ""}
            onChange={(event) => setSettings({ ...settings, system_prompt: event.target.value })}
          />
        </label>
        <div className="numbers">
          {FIELDS.map((field) => (
            <NumberField key={field.name} field={field} settings={settings} defaults={store.snapshot().app?.default_parameters ?? {}} onChange={setSettings} />
          ))}
        </div>
        <label className="check">
          <input
            type="checkbox"
            checked={settings.keeps_probabilities}
            disabled={!tells}
            onChange={(event) => setSettings({ ...settings, keeps_probabilities: event.target.checked })}
          />
          <span>
            {words("glass.keep")}
            <span className="fine">{tells ? words("glass.keepHint") : words("glass.neverTold", { model: modelName(model) })}</span>
          </span>
        </label>
        <Refusal text={trouble} />
        <div className="dialog-actions">
          <button type="button" className="link reset" disabled={!isOwn(settings)} onClick={() => setSettings(AS_EVER)}>
            {words("glass.reset")}
          </button>
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

const modelName = (model: Model | string): string => (typeof model === "string" ? model : model.id);

interface NumberFieldProps {
  field: (typeof FIELDS)[number];
  settings: Settings;
  defaults: Parameters;
  onChange: (settings: Settings) => void;
}

function NumberField({ field, settings, defaults, onChange }: NumberFieldProps) {
  const words = usePageWords();
  const hint = useId();
  const usual = defaults[field.name];
  const placeholder = usual == null ? words("glass.unset") : new Intl.NumberFormat(useLocale()).format(usual);

  function change(text: string): void {
    const { [field.name]: _before, ...others } = settings.parameters;
    onChange({ ...settings, parameters: text === "" ? others : { ...others, [field.name]: Number(text) } });
  }

  return (
    <label className="field">
      <span>{words(field.label)}</span>
      <input
        type="number"
        min={field.min}
        max={field.max}
        step={field.step}
        placeholder={placeholder}
        aria-describedby={hint}
        value={settings.parameters[field.name] ?? ""}
        onChange={(event) => change(event.target.value)}
      />
      <span className="fine" id={hint}>
        {words(field.hint)}
      </span>
    </label>
  );
}
