// The list of conversations, by day; a drawer on narrow screens.
import { useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { ConversationSummary } from "./api";
import { ChangeConversation, type Change } from "./ChangeConversation";
import { groupByDay } from "./days";
import { LANGUAGES, useLanguage, useWords } from "./i18n";
import { BinIcon, CloseIcon, LearnIcon, Mark, PenIcon, PlusIcon } from "./icons";
import { LEARN, NEW, type ChatStore, type Snapshot } from "./store";
import { currentTheme, setTheme, THEMES, type Theme } from "./theme";

interface SidebarProps {
  store: ChatStore;
  snapshot: Snapshot;
  narrow: boolean;
  shown: boolean;
  onOpen: (id: string) => void;
  onClose: () => void;
  onLanguage: (language: string) => void;
}

export function Sidebar({ store, snapshot, narrow, shown, onOpen, onClose, onLanguage }: SidebarProps) {
  const words = useWords();
  const language = useLanguage();
  const [change, setChange] = useState<Change | null>(null);
  const closer = useRef<HTMLButtonElement>(null);
  const newChat = useRef<HTMLButtonElement>(null);
  const groups = groupByDay(snapshot.conversations, new Date(), language, words("lastDays"));

  useEffect(() => {
    if (narrow && shown) closer.current?.focus();
  }, [narrow, shown]);

  return (
    <>
      {narrow && shown && <div className="veil" onClick={onClose} />}
      <nav className="sidebar" aria-label={words("conversations")} inert={!shown} data-shown={shown}>
        <div className="brand">
          <Mark />
          <span>Bise</span>
          {narrow && (
            <button type="button" className="quiet" ref={closer} aria-label={words("closeMenu")} onClick={onClose}>
              <CloseIcon />
            </button>
          )}
        </div>
        <button
          type="button"
          className="new"
          ref={newChat}
          title="Ctrl+Shift+O"
          aria-keyshortcuts="Control+Shift+O Meta+Shift+O"
          onClick={() => onOpen(NEW)}
        >
          <PlusIcon />
          {words("newChat")}
        </button>
        <div className="list">
          {groups.length === 0 && <p className="fine">{words("noConversations")}</p>}
          {groups.map(({ label, conversations }) => (
            <section key={label} aria-label={label}>
              <h2>{label}</h2>
              <ul>
                {conversations.map((conversation) => (
                  <Row
                    key={conversation.id}
                    conversation={conversation}
                    current={conversation.id === snapshot.openId}
                    unread={snapshot.unread.has(conversation.id)}
                    onOpen={onOpen}
                    onChange={setChange}
                  />
                ))}
              </ul>
            </section>
          ))}
        </div>
        <button type="button" className="learn-link" aria-current={snapshot.openId === LEARN ? "page" : undefined} onClick={() => onOpen(LEARN)}>
          <LearnIcon />
          {words("learn")}
        </button>
        <Preferences onLanguage={onLanguage} />
      </nav>
      {change && (
        <ChangeConversation
          change={change}
          store={store}
          onClose={(deleted) => {
            flushSync(() => setChange(null)); // nothing outside an open dialog takes the focus
            if (deleted) newChat.current?.focus();
          }}
        />
      )}
    </>
  );
}

interface RowProps {
  conversation: ConversationSummary;
  current: boolean;
  unread: boolean;
  onOpen: (id: string) => void;
  onChange: (change: Change) => void;
}

function Row({ conversation, current, unread, onOpen, onChange }: RowProps) {
  const words = useWords();
  const title = conversation.title || words("untitled");
  const state = conversation.generating ? words("answering") : unread ? words("unread") : "";
  return (
    <li data-current={current}>
      <button type="button" className="row" aria-current={current ? "page" : undefined} title={title} onClick={() => onOpen(conversation.id)}>
        <span className="row-title">{title}</span>
        {state && (
          <span className={conversation.generating ? "dot pulsing" : "dot"} title={state}>
            <span className="unseen">{state}</span>
          </span>
        )}
      </button>
      <span className="row-tools">
        <button type="button" className="quiet" aria-label={words("renameOf", { title })} title={words("rename")} onClick={() => onChange({ kind: "rename", conversation })}>
          <PenIcon />
        </button>
        <button type="button" className="quiet" aria-label={words("deleteOf", { title })} title={words("delete")} onClick={() => onChange({ kind: "delete", conversation })}>
          <BinIcon />
        </button>
      </span>
    </li>
  );
}

function Preferences({ onLanguage }: { onLanguage: (language: string) => void }) {
  const words = useWords();
  const language = useLanguage();
  const [theme, setShownTheme] = useState(currentTheme);
  return (
    <div className="preferences">
      <label>
        <span className="unseen">{words("theme")}</span>
        <select
          value={theme}
          title={words("theme")}
          onChange={(event) => {
            setTheme(event.target.value as Theme);
            setShownTheme(event.target.value as Theme);
          }}
        >
          {THEMES.map((each) => (
            <option key={each} value={each}>
              {words(`theme.${each}`)}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span className="unseen">{words("language")}</span>
        <select value={language} title={words("language")} onChange={(event) => onLanguage(event.target.value)}>
          {Object.entries(LANGUAGES).map(([code, { name }]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
