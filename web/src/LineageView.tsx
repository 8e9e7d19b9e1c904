// Everything that a model was made from, step by step back to the sources.
import { CopyButton } from "./CopyButton";
import { useLocale, usePageWords } from "./i18n";
import { lineageOf, type Lineage, type Step } from "./provenance";
import { useAnswered } from "./useAnswered";

const SHOWN_HASH = 12; // of 64 digits

export function LineageView({ model }: { model: string }) {
  const words = usePageWords();
  const [lineage, trouble] = useAnswered(() => lineageOf(model), model);
  return (
    <section className="lineage" aria-labelledby="lineage-heading">
      <h3 id="lineage-heading">{words("lineage")}</h3>
      {trouble !== null && <p className="refusal">{trouble}</p>}
      {lineage && <Steps lineage={lineage} />}
    </section>
  );
}

function Steps({ lineage }: { lineage: Lineage }) {
  const words = usePageWords();
  if (lineage.steps.length === 0) return <p>{words("lineageNothing")}</p>;
  return (
    <ol>
      {lineage.steps.map((step) => (
        <li key={step.sha256}>
          <StepView step={step} />
        </li>
      ))}
      {lineage.missing.map(({ name, sha256 }) => (
        <li key={sha256}>
          <h4>{name}</h4>
          <p className="fine">
            {words("lineageMissing")} <code title={sha256}>{sha256.slice(0, SHOWN_HASH)}…</code>
          </p>
        </li>
      ))}
    </ol>
  );
}

function StepView({ step }: { step: Step }) {
  const words = usePageWords();
  const locale = useLocale();
  const unit = (value: number, name: string) => new Intl.NumberFormat(locale, { style: "unit", unit: name, maximumSignificantDigits: 3 }).format(value);
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(step.created));
  const number = new Intl.NumberFormat(locale);
  const energy = step.energy_kwh === null ? "" : `${new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 }).format(step.energy_kwh)} kWh`;
  const code = step.source_sha256 && ` · ${step.source_sha256.slice(0, SHOWN_HASH)}…`;
  const facts: [string, string][] = [
    [words("lineageMade"), date],
    [words("lineageCode"), `Bise ${step.bise_version}${code}`],
    [words("licence"), step.licence],
    [words("lineageTime"), step.seconds < 90 ? unit(step.seconds, "second") : unit(step.seconds / 60, "minute")],
    [words("lineageTokens"), step.shards ? `${number.format(step.shards.num_tokens)} · ${step.shards.sha256.slice(0, SHOWN_HASH)}…` : ""],
    [words("lineageCost"), [energy, step.cost].filter(Boolean).join(" · ")],
  ];
  return (
    <>
      <h4>
        {words(`stage.${step.stage}`)} <span>{step.name.slice(step.name.indexOf("/") + 1)}</span>
      </h4>
      <dl>
        <div>
          <dt>SHA-256</dt>
          <dd>
            <code title={step.sha256}>{step.sha256.slice(0, SHOWN_HASH)}…</code>
          </dd>
        </div>
        {facts.map(
          ([name, value]) =>
            value && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {step.sources.length > 0 && <Sources step={step} />}
      <div className="again">
        <span className="fine">{words("lineageAgain")}</span>
        <code>{step.command}</code>
        <CopyButton text={step.command} label={words("copyCode")} />
      </div>
      {!step.here && <p className="fine">{words("lineageRecord")}</p>}
    </>
  );
}

function Sources({ step }: { step: Step }) {
  const words = usePageWords();
  const number = new Intl.NumberFormat(useLocale());
  return (
    <details>
      <summary>{words("lineageSources", { count: number.format(step.sources.length) })}</summary>
      <ul>
        {step.sources.map((source) => (
          <li key={source.name}>
            <strong>{source.name}</strong>: {words(source.kind === "documents" ? "documents" : "conversationsCount", { count: number.format(source.number) })}, {source.licence}
            {source.origin && <span className="fine"> {source.origin}</span>}
          </li>
        ))}
      </ul>
    </details>
  );
}
