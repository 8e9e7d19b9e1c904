// What was used, in counts alone, and what operators did.
import { useState } from "react";
import { admin, type UsageBy } from "./admin";
import { useLocale, usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { TableFrame } from "./TableFrame";
import { useAnswered } from "./useAnswered";

export function AdminUsage() {
  const words = usePageWords();
  const locale = useLocale();
  const [by, setBy] = useState<UsageBy>("user");
  const [found, trouble] = useAnswered(() => admin.usage(by), `usage ${by}`);
  const number = new Intl.NumberFormat(locale);
  return (
    <>
      <p className="fine">{words("people.usageHelp")}</p>
      <p>
        <label>
          {words("people.usageBy")}{" "}
          <select value={by} onChange={(event) => setBy(event.target.value as UsageBy)}>
            <option value="user">{words("people.by.user")}</option>
            <option value="model">{words("people.by.model")}</option>
            <option value="day">{words("people.by.day")}</option>
          </select>
        </label>
      </p>
      <Refusal text={trouble} />
      {found && (
        <TableFrame label={words("people.usage")} heads={[`people.by.${by}`, "people.requests", "people.promptTokens", "people.answerTokens"]}>
          {found.rows.map((row) => (
            <tr key={row[by]}>
              <th scope="row">{row[by]}</th>
              {[row.num_requests, row.num_prompt_tokens, row.num_completion_tokens].map((value, place) => (
                <td key={place} className="number">
                  {number.format(value)}
                </td>
              ))}
            </tr>
          ))}
        </TableFrame>
      )}
    </>
  );
}

export function AdminAudit() {
  const words = usePageWords();
  const locale = useLocale();
  const [typed, setTyped] = useState("");
  const [text, setText] = useState("");
  const [found, trouble] = useAnswered(() => admin.audit(text), `audit ${text}`);
  const time = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
  return (
    <>
      <form
        className="inline-form"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          setText(typed);
        }}
      >
        <label>
          {words("people.filter")} <input type="search" value={typed} maxLength={100} onChange={(event) => setTyped(event.target.value)} />
        </label>
        <button type="submit">{words("people.show")}</button>
      </form>
      <Refusal text={trouble} />
      {found && (
        <TableFrame label={words("people.audit")} heads={["people.when", "people.who", "people.what", "people.whose", "people.details"]}>
          {found.entries.map((entry, place) => (
            <tr key={place}>
              <td>{time.format(new Date(entry.at))}</td>
              <td>{entry.actor}</td>
              <td>{entry.action}</td>
              <td>{entry.subject}</td>
              <td>
                {Object.entries(entry.details)
                  .map(([name, value]) => `${name}: ${String(value)}`)
                  .join(", ")}
              </td>
            </tr>
          ))}
        </TableFrame>
      )}
    </>
  );
}
