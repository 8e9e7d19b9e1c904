// The page of a read-only link: what was shared, and nothing else of this server.
import { useEffect } from "react";
import { useLanguage, useLocale, usePageWords } from "./i18n";
import { Mark } from "./icons";
import { Markdown } from "./Markdown";
import { sharing } from "./sharing";
import { useAnswered } from "./useAnswered";

export function Shared({ token }: { token: string }) {
  const words = usePageWords();
  const language = useLanguage();
  const locale = useLocale();
  const [shared, trouble] = useAnswered(() => sharing.open(token), token);
  const title = shared?.title || words("shareTitle");
  useEffect(() => void (document.title = words("documentTitle", { title })), [words, title]);
  useEffect(() => void (document.documentElement.lang = language), [language]);
  if (trouble) {
    return (
      <main className="problem">
        <Mark />
        <h1>{trouble}</h1>
      </main>
    );
  }
  if (!shared) return <main className="problem" aria-busy="true" />;
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(new Date(shared.created_at));
  return (
    <main className="shared">
      <header>
        <h1>{title}</h1>
        <p className="fine">{words("shareNotice", { date })}</p>
      </header>
      {shared.messages.map((message, index) =>
        message.role === "user" ? (
          <article key={index} className="question" aria-label={words("shareQuestion")}>
            <h2 className="unseen">{words("shareQuestion")}</h2>
            <div className="bubble">{message.content}</div>
          </article>
        ) : (
          <article key={index} className="answer" aria-label={words("shareAnswer")}>
            <h2 className="unseen">{words("shareAnswer")}</h2>
            <Markdown text={message.content} />
            <footer className="fine">{[words("shareAnswer"), message.model, message.edited && words("shareEdited")].filter(Boolean).join(" · ")}</footer>
          </article>
        ),
      )}
      <footer className="fine">
        <Mark /> Bise
      </footer>
    </main>
  );
}
