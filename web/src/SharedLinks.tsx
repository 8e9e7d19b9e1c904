// The links that work, each to be taken back.
import { useCallback, useEffect, useRef, useState } from "react";
import { useLocale, usePageWords } from "./i18n";
import { Refusal } from "./Refusal";
import { sharing, type Share } from "./sharing";
import { useAttempt } from "./useAttempt";

export function SharedLinks({ version }: { version: string }) {
  const words = usePageWords();
  const date = new Intl.DateTimeFormat(useLocale(), { dateStyle: "medium" });
  const [shares, setShares] = useState<Share[]>([]);
  const [trouble, attempt] = useAttempt();
  const heading = useRef<HTMLHeadingElement>(null);
  const load = useCallback(() => sharing.list().then((answer) => setShares(answer.shares)), []);
  useEffect(() => attempt(load()), [attempt, load, version]);
  return (
    <section>
      <h2 ref={heading} tabIndex={-1}>
        {words("shareLinks")}
      </h2>
      <p>{words(shares.length ? "shareLinksHelp" : "shareLinksNone")}</p>
      <Refusal text={trouble} />
      <ul className="holding-list">
        {shares.map((share) => (
          <li key={share.id}>
            <div>
              <a className="holding-title" href={`#${share.conversation_id}`}>
                {share.title || words("untitled")}
              </a>
              <span className="fine">{date.format(new Date(share.created_at))}</span>
            </div>
            <button
              type="button"
              aria-label={words("shareRevokeOf", { title: share.title || words("untitled") })}
              onClick={() => attempt(sharing.revoke(share.id).then(load).then(() => heading.current?.focus()))}
            >
              {words("shareRevoke")}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
