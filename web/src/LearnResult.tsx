// What learning changed: how like the wanted answers, and how like before others are; some answers side by side; figures.
import type { ReactNode } from "react";
import { useLocale, usePageWords } from "./i18n";
import type { Change, Result } from "./learning";

const LITTLE_LIKE_BEFORE = 0.8; // others have changed so much that it is worth a look

export function LearnResult({ result }: { result: Result }) {
  const words = usePageWords();
  const locale = useLocale();
  const whole = new Intl.NumberFormat(locale);
  const share = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
  const { like_wanted: wanted, others_like_before: others } = result;
  return (
    <div className="learn-result">
      <p>{words("learnedFrom", { learned: whole.format(result.learned), heldOut: whole.format(result.held_out) })}</p>
      <Table heading={words("likeHeading")} columns={[words("before"), words("after")]}>
        <tr>
          <th scope="row">{words("likeWanted")}</th>
          <td>{share.format(wanted.before)}</td>
          <td>{share.format(wanted.after)}</td>
        </tr>
        {others !== null && (
          <tr>
            <th scope="row">{words("likeBefore", { count: whole.format(result.num_others) })}</th>
            <td>{share.format(1)}</td>
            <td>{share.format(others)}</td>
          </tr>
        )}
      </Table>
      <p className="fine">{words("likeHelp")}</p>
      {others !== null && others < LITTLE_LIKE_BEFORE && <p className="trouble">{words("othersChanged")}</p>}
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
      <Surprise result={result} />
    </div>
  );
}

/** How likely the model finds texts, for whoever reads such figures, and what the program warned of, in its words. */
function Surprise({ result }: { result: Result }) {
  const words = usePageWords();
  const locale = useLocale();
  const figure = new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });
  const rows = (
    [
      ["figureCorrections", result.corrections],
      ["figureGeneral", result.general],
    ] as const
  ).filter((row): row is [(typeof row)[0], Change] => row[1] !== null);
  return (
    <details className="more-figures">
      <summary>{words("moreFigures")}</summary>
      <Table heading={words("figure")} columns={[words("before"), words("after"), words("change")]}>
        {rows.map(([key, { before, after }]) => (
          <tr key={key}>
            <th scope="row">{words(key)}</th>
            <td>{figure.format(before)}</td>
            <td>{figure.format(after)}</td>
            <td>{percent.format(after / before - 1)}</td>
          </tr>
        ))}
      </Table>
      <p className="fine">{words("figureHelp")}</p>
      {result.warnings.map((warning) => (
        <p key={warning} className="fine" lang="en">
          {warning}
        </p>
      ))}
    </details>
  );
}

function Table({ heading, columns, children }: { heading: string; columns: string[]; children: ReactNode }) {
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label={heading}>
      <table>
        <thead>
          <tr>
            <th scope="col">{heading}</th>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
