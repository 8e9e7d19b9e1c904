// All feedback as it would be learned from, with personal data masked, to look through and to leave out.
import { useState } from "react";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import type { FeedbackItem } from "./learning";
import { reasonKey } from "./RatingReason";

const SHOWN = 20;

interface FeedbackListProps {
  items: FeedbackItem[];
  onExclude: (item: FeedbackItem, excluded: boolean) => void;
  onOpen: (conversationId: string) => void;
}

export function FeedbackList({ items, onExclude, onOpen }: FeedbackListProps) {
  const words = usePageWords();
  const number = new Intl.NumberFormat(useLocale());
  const [all, setAll] = useState(false);
  return (
    <section>
      <h2>{words("whatYouSaid")}</h2>
      {items.length === 0 ? <p>{words("nothingSaid")}</p> : <p className="fine">{words("maskedHelp")}</p>}
      <ul className="feedback-list">
        {(all ? items : items.slice(0, SHOWN)).map((item) => (
          <li key={item.id} data-out={item.excluded || item.teaches_nothing !== null}>
            <Item item={item} onExclude={onExclude} onOpen={onOpen} />
          </li>
        ))}
      </ul>
      {items.length > SHOWN && !all && (
        <button type="button" onClick={() => setAll(true)}>
          {words("showAll", { count: number.format(items.length) })}
        </button>
      )}
    </section>
  );
}

interface ItemProps extends Omit<FeedbackListProps, "items"> {
  item: FeedbackItem;
}

function Item({ item, onExclude, onOpen }: ItemProps) {
  const words = usePageWords();
  const locale = useLocale();
  const question = item.conversation.findLast((turn) => turn.role === "user")?.content ?? "";
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(new Date(item.created_at));
  return (
    <>
      <details>
        <summary>
          <span className="kind">{words(kindOf(item))}</span>
          <span className="what">{question}</span>
        </summary>
        <dl>
          {passages(item).map(([key, text]) => (
            <div key={key}>
              <dt>{words(key)}</dt>
              <dd>{text}</dd>
            </div>
          ))}
          {item.reason && (
            <div>
              <dt>{words("whyLabel")}</dt>
              <dd>{words(reasonKey(item.reason))}</dd>
            </div>
          )}
        </dl>
        <p className="fine">
          {[item.model, date, item.num_masked > 0 && words("maskedCount", { count: String(item.num_masked) })].filter(Boolean).join(" · ")}{" "}
          <button type="button" className="link" onClick={() => onOpen(item.conversation_id)}>
            {words("openChat")}
          </button>
        </p>
      </details>
      {item.teaches_nothing === null ? (
        <label className="take-in">
          <input type="checkbox" checked={!item.excluded} onChange={(event) => onExclude(item, !event.target.checked)} />
          <span>{words("learnThis")}</span>
          <span className="unseen">{question}</span>
        </label>
      ) : (
        <span className="fine take-in">{words(`teachesNothing.${item.teaches_nothing}`)}</span>
      )}
    </>
  );
}

function kindOf(item: FeedbackItem): PageWordKey {
  if (item.kind === "rating") return `thumb.${item.thumb ?? "up"}`;
  return item.kind === "preference" ? "preference" : "betterAnswer";
}

/** What an item says, under names that the reader knows. */
function passages(item: FeedbackItem): [PageWordKey, string][] {
  const question = item.conversation.findLast((turn) => turn.role === "user")?.content;
  const all: [PageWordKey, string | undefined][] = [
    ["you", question],
    [item.better === undefined ? "answer" : "originalAnswer", item.answer],
    ["betterAnswer", item.better],
    ["chosenAnswer", item.chosen],
    ["rejectedAnswer", item.rejected],
    ["oneAnswer", item.first],
    ["otherAnswer", item.second],
    ["inOwnWords", item.comment],
  ];
  return all.filter((pair): pair is [PageWordKey, string] => pair[1] !== undefined);
}
