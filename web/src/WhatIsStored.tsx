// What is kept, in numbers, where, how long, and what never is.
import { holding } from "./holding";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { useAnswered } from "./useAnswered";

/** `version` changes when something was brought in or erased; with `accounts` people come in by passwords and other providers. */
export function WhatIsStored({ version, accounts }: { version: string; accounts: boolean }) {
  const words = usePageWords();
  const locale = useLocale();
  const [stored, trouble] = useAnswered(holding.stored, version);
  const number = new Intl.NumberFormat(locale);
  if (trouble) return <p className="refusal">{trouble}</p>;
  if (!stored) return <div aria-busy="true" />;
  const { holdings, place } = stored;
  const days = new Intl.NumberFormat(locale, { style: "unit", unit: "day", unitDisplay: "long" }).format(stored.kept_days);
  const size = new Intl.NumberFormat(locale, { style: "unit", unit: "kilobyte", maximumFractionDigits: 1 }).format(holdings.text_bytes / 1000);
  const accountFigures: [PageWordKey, string][] = [
    ["storedPasswords", number.format(holdings.passwords)],
    ["storedIdentities", number.format(holdings.identities)],
  ];
  const figures: [PageWordKey, string][] = [
    ["conversations", number.format(holdings.conversations)],
    ["deletedPage", number.format(holdings.deleted_conversations)],
    ["messages", `${number.format(holdings.messages)} (${size})`],
    ["storedRatings", number.format(holdings.ratings)],
    ["betterAnswers", number.format(holdings.better_answers)],
    ["preferences", number.format(holdings.preferences)],
    ["folders", number.format(holdings.folders)],
    ["shareLinks", number.format(holdings.shares)],
    ["storedSessions", number.format(holdings.sessions)],
    ...(accounts ? accountFigures : []),
    ["storedKeys", number.format(holdings.api_keys)],
    ["storedRuns", number.format(stored.num_learning_runs)],
    ["storedCopies", number.format(stored.num_copies)],
  ];
  return (
    <section>
      <h2>{words("storedTitle")}</h2>
      <dl className="tally">
        {figures.map(([key, value]) => (
          <div key={key}>
            <dt>{words(key)}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p>
        {words("storedWhere")} {place && <code className="place">{place}</code>}
      </p>
      <p>{words("storedLong", { days })}</p>
      {stored.adapters.length > 0 && <p>{words("storedAdapters", { names: stored.adapters.join(", ") })}</p>}
      <p>{words("storedBrowser")}</p>
      <p>{words("storedNever")}</p>
    </section>
  );
}
