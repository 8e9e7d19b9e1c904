// The list of conversations, by day; a drawer on narrow screens.
import { Suspense, useEffect, useRef, useState } from "react";
import type { ConversationSummary } from "./api";
import { groupByDay, withDeleted, type Group } from "./days";
import { FolderList } from "./FolderList";
import { folderApi } from "./folders";
import { LANGUAGES, useLanguage, useWords } from "./i18n";
import { BinIcon, BoxIcon, CloseIcon, LearnIcon, Mark, PenIcon, PeopleIcon, PersonIcon, PinIcon, PlusIcon, SearchIcon } from "./icons";
import { onDemand } from "./onDemand";
import { Refusal } from "./Refusal";
import { NEW, type Snapshot } from "./snapshot";
import type { ChatStore } from "./store";
import { isTemporary } from "./temporary";
import { currentTheme, setTheme, THEMES, type Theme } from "./theme";
import { useAttempt } from "./useAttempt";

const RenameConversation = onDemand(() => import("./RenameConversation").then((module) => module.RenameConversation));

interface SidebarProps {
  store: ChatStore;
  snapshot: Snapshot;
  narrow: boolean;
  shown: boolean;
  onOpen: (id: string) => void;
  onSearch: () => void;
  onClose: () => void;
  onLanguage: (language: string) => void;
}

export function Sidebar({ store, snapshot, narrow, shown, onOpen, onSearch, onClose, onLanguage }: SidebarProps) {
  const words = useWords();
  const language = useLanguage();
  const [renaming, setRenaming] = useState<ConversationSummary | null>(null);
  const [trouble, attempt] = useAttempt();
  const closer = useRef<HTMLButtonElement>(null);
  /** The conversation that was pinned or let go last: its row has moved, and takes the focus along. */
  const [moved, setMoved] = useState<string | null>(null);
  const all = withDeleted(snapshot.conversations, snapshot.deleted);
  const temporary = all.filter(({ id }) => isTemporary(id));
  const pinned = all.filter((conversation) => conversation.pinned);
  const filed = all.filter(({ folder_id }) => folder_id !== null);
  const rest = all.filter(({ id, pinned, folder_id }) => !pinned && folder_id === null && !isTemporary(id));
  const days = groupByDay(rest, new Date(), language, words("lastDays"));
  const groups = [
    { label: words("temporary"), conversations: temporary },
    { label: words("pinned"), conversations: pinned },
  ].filter(({ conversations }) => conversations.length > 0);

  const row = (conversation: ConversationSummary) => (
    <Row
      key={conversation.id}
      conversation={conversation}
      current={conversation.id === snapshot.openId}
      unread={snapshot.unread.has(conversation.id)}
      deleted={snapshot.deleted.includes(conversation)}
      moved={conversation.id === moved}
      onOpen={onOpen}
      onPin={() => {
        setMoved(conversation.id);
        attempt(folderApi.pin(conversation.id, !conversation.pinned).then(() => store.refresh()));
      }}
      onRename={setRenaming}
      onDelete={() => attempt(store.remove(conversation.id))}
      onUndo={() => attempt(store.restore(conversation.id))}
    />
  );
  const section = ({ label, conversations }: Group) => (
    <section key={label} aria-label={label}>
      <h2>{label}</h2>
      <ul>{conversations.map(row)}</ul>
    </section>
  );

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
          title="Ctrl+Shift+O"
          aria-keyshortcuts="Control+Shift+O Meta+Shift+O"
          onClick={() => onOpen(NEW)}
        >
          <PlusIcon />
          {words("newChat")}
        </button>
        <button type="button" className="search-link" aria-keyshortcuts="Control+K Meta+K" onClick={onSearch}>
          <SearchIcon />
          {words("searchOpen")}
          {!narrow && <kbd aria-hidden="true">{isApple() ? "⌘ K" : "Ctrl K"}</kbd>}
        </button>
        <div className="list">
          {all.length === 0 && <p className="fine">{words(snapshot.app?.accounts ? "noConversationsServer" : "noConversations")}</p>}
          {groups.map(section)}
          <FolderList
            store={store}
            folders={snapshot.folders}
            conversations={filed}
            openId={snapshot.openId}
            row={row}
            onNew={(folderId) => {
              onOpen(NEW);
              store.openIn(folderId);
            }}
          />
          {days.map(section)}
          <Refusal text={trouble} />
        </div>
        <div className="sidebar-foot">
          <button type="button" className="learn-link" aria-current={snapshot.openId === "learn" ? "page" : undefined} onClick={() => onOpen("learn")}>
            <LearnIcon />
            {words("learn")}
          </button>
          {snapshot.app?.accounts && snapshot.app.user.role === "admin" && (
            <button type="button" className="learn-link" aria-current={snapshot.openId === "admin" ? "page" : undefined} onClick={() => onOpen("admin")}>
              <PeopleIcon />
              {words("people.admin")}
            </button>
          )}
          {snapshot.app?.accounts && (
            <button type="button" className="learn-link" aria-current={snapshot.openId === "account" ? "page" : undefined} onClick={() => onOpen("account")}>
              <PersonIcon />
              {snapshot.app.user.name}
            </button>
          )}
          <button type="button" className="learn-link" aria-current={snapshot.openId === "deleted" ? "page" : undefined} onClick={() => onOpen("deleted")}>
            <BinIcon />
            {words("deletedPage")}
          </button>
          <button type="button" className="learn-link" aria-current={snapshot.openId === "data" ? "page" : undefined} onClick={() => onOpen("data")}>
            <BoxIcon />
            {words("yourData")}
          </button>
        </div>
        <Preferences onLanguage={onLanguage} />
      </nav>
      <Suspense>{renaming && <RenameConversation conversation={renaming} store={store} onClose={() => setRenaming(null)} />}</Suspense>
    </>
  );
}

const isApple = (): boolean => /Mac|iPhone|iPad/.test(navigator.platform);

interface RowProps {
  conversation: ConversationSummary;
  current: boolean;
  unread: boolean;
  deleted: boolean;
  /** It has just come here from another part of the list. */
  moved: boolean;
  onOpen: (id: string) => void;
  onPin: () => void;
  onRename: (conversation: ConversationSummary) => void;
  onDelete: () => void;
  onUndo: () => void;
}

function Row({ conversation, current, unread, deleted, moved, onOpen, onPin, onRename, onDelete, onUndo }: RowProps) {
  const words = useWords();
  const button = useRef<HTMLButtonElement>(null);
  const was = useRef(deleted);
  // The button that was pressed has gone: what takes its place takes the focus.
  useEffect(() => {
    if (was.current !== deleted) button.current?.focus();
    was.current = deleted;
  }, [deleted]);
  useEffect(() => {
    if (moved) button.current?.focus();
  }, []);
  const title = conversation.title || words("untitled");
  if (deleted) {
    return (
      <li>
        <span className="row-deleted">{words("deletedRow", { title })}</span>
        <button type="button" className="link" ref={button} aria-label={words("undoOf", { title })} onClick={onUndo}>
          {words("undo")}
        </button>
      </li>
    );
  }
  const state = conversation.generating ? words("answering") : unread ? words("unread") : "";
  return (
    <li data-current={current}>
      <button type="button" className="row" ref={button} aria-current={current ? "page" : undefined} title={title} onClick={() => onOpen(conversation.id)}>
        <span className="row-title">{title}</span>
        {state && (
          <span className={conversation.generating ? "dot pulsing" : "dot"} title={state}>
            <span className="unseen">{state}</span>
          </span>
        )}
      </button>
      <span className="row-tools">
        {!isTemporary(conversation.id) && (
          <button type="button" className="quiet" aria-pressed={conversation.pinned} aria-label={words("pinOf", { title })} title={words("pin")} onClick={onPin}>
            <PinIcon />
          </button>
        )}
        <button type="button" className="quiet" aria-label={words("renameOf", { title })} title={words("renameOrMove")} onClick={() => onRename(conversation)}>
          <PenIcon />
        </button>
        <button type="button" className="quiet" aria-label={words("deleteOf", { title })} title={words("delete")} onClick={onDelete}>
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
