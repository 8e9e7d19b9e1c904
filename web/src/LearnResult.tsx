// What learning changed: two figures before and after, what got worse, and some answers side by side.
import { useLanguage, useWords } from "./i18n";
import type { Change, Result } from "./learning";

export function LearnResult({ result }: { result: Result }) {
  const words = useWords();
  const language = useLanguage();
  const whole = new Intl.NumberFormat(language);
  const figure = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });
  const rows = (
    [
      ["figureCorrections", result.corrections],
      ["figureGeneral", result.general],
    ] as const
  ).filter((row): row is [(typeof row)[0], Change] => row[1] !== null);
  return (
    <div className="learn-result">
      <p>{words("learnedFrom", { learned: whole.format(result.learned), heldOut: whole.format(result.held_out) })}</p>
      <div className="table-frame" tabIndex={0} role="region" aria-label={words("whatChanged")}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words("figure")}</th>
              <th scope="col">{words("before")}</th>
              <th scope="col">{words("after")}</th>
              <th scope="col">{words("change")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([key, { before, after }]) => (
              <tr key={key}>
                <th scope="row">{words(key)}</th>
                <td>{figure.format(before)}</td>
                <td>{figure.format(after)}</td>
                <td>{percent.format(after / before - 1)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="fine">{words("figureHelp")}</p>
      {result.warnings.map((warning) => (
        <p key={warning} className="trouble" lang="en">
          {warning}
        </p>
      ))}
      {result.answers.length > 0 && <h3>{words("examples")}</h3>}
      {result.answers.map((example, index) => (
        <figure key={index} className="example">
          <figcaption>{example.question}</figcaption>
          <dl>
            <div>
              <dt>{words("before")}</dt>
              <dd>{example.before || "–"}</dd>
            </div>
            <div>
              <dt>{words("after")}</dt>
              <dd>{example.after || "–"}</dd>
            </div>
            <div>
              <dt>{words("wanted")}</dt>
              <dd>{example.wanted}</dd>
            </div>
          </dl>
        </figure>
      ))}
    </div>
  );
}
