// The page: sidebar, conversation, composer, and the keys that work everywhere.
import { Suspense, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { flushSync } from "react-dom";
import { Announcer } from "./Announcer";
import { ChatSettings } from "./ChatSettings";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { focusComposer } from "./focusComposer";
import { loadWords, rememberLanguage, SpeechProvider, useWords, type Speech } from "./i18n";
import { FolderIcon, HourglassIcon, MenuIcon } from "./icons";
import { ModelPicker } from "./ModelPicker";
import { onDemand } from "./onDemand";
import { PAGES } from "./pages";
import { isPlace } from "./places";
import { Starting } from "./Problem";
import type { Hit } from "./search";
import { ShareButton } from "./ShareButton";
import { Sidebar } from "./Sidebar";
import { isGenerating, NEW, type Snapshot } from "./snapshot";
import type { ChatStore } from "./store";
import { SearchDialog } from "./SearchDialog"; // not on demand: whoever types at once after Ctrl K is heard
import { isTemporary } from "./temporary";
import { useMediaQuery } from "./useMediaQuery";
import { Welcome } from "./Welcome";

const Door = onDemand(() => import("./Door").then((module) => module.Door));
const FolderDialog = onDemand(() => import("./FolderDialog").then((module) => module.FolderDialog));
const NARROW = "(max-width: 52rem)";

export function App({ store, firstSpeech }: { store: ChatStore; firstSpeech: Speech }) {
  const [speech, setSpeech] = useState(firstSpeech);
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot);

  useEffect(() => void store.start(), [store]);
  useEffect(() => void (document.documentElement.lang = speech.language), [speech]);
  useEffect(() => {
    const comeBack = () => void (document.visibilityState === "visible" && store.comeBack());
    const move = () => store.open(location.hash.slice(1));
    document.addEventListener("visibilitychange", comeBack);
    window.addEventListener("focus", comeBack); // from another window beside this one
    window.addEventListener("popstate", move);
    return () => {
      document.removeEventListener("visibilitychange", comeBack);
      window.removeEventListener("focus", comeBack);
      window.removeEventListener("popstate", move);
    };
  }, [store]);

  async function speak(language: string): Promise<void> {
    rememberLanguage(language);
    setSpeech({ language, words: await loadWords(language) });
  }

  return (
    <SpeechProvider speech={speech}>
      {snapshot.app ? (
        <Room store={store} snapshot={snapshot} onLanguage={(language) => void speak(language)} />
      ) : snapshot.problem?.status === 401 ? (
        <Suspense fallback={<main className="problem" />}>
          <Door />
        </Suspense>
      ) : (
        <Starting problem={snapshot.problem} />
      )}
    </SpeechProvider>
  );
}

interface RoomProps {
  store: ChatStore;
  snapshot: Snapshot;
  onLanguage: (language: string) => void;
}

function Room({ store, snapshot, onLanguage }: RoomProps) {
  const words = useWords();
  const narrow = useMediaQuery(NARROW);
  const [drawerOpen, setDrawerOpen] = useState(false);
  const [searching, setSearching] = useState(false);
  const [folderShown, setFolderShown] = useState(false);
  const menuButton = useRef<HTMLButtonElement>(null);
  const composer = useRef<HTMLTextAreaElement>(null);
  const { openId: id, app } = snapshot;
  const chat = store.chat(id);
  const model = store.model(id);
  const generating = isGenerating(chat);
  const page = isPlace(id) ? PAGES[id] : null;
  const named = isTemporary(id) ? words("temporary") : snapshot.conversations.find((c) => c.id === id)?.title || words("untitled");
  const title = page ? words(page.title) : named;
  const temporary = isTemporary(id) || (id === NEW && snapshot.newTemporary);
  const folder = page ? null : store.folder(id);
  const empty = !page && chat.messages.length === 0 && !chat.pending && !chat.loading && !chat.refused;

  useEffect(() => void (document.title = words("documentTitle", { title })), [words, title]); // which browsers remember

  // While the drawer is open nothing beside it takes the focus: it must be gone before the focus moves.
  function closeDrawer(): void {
    flushSync(() => setDrawerOpen(false));
    menuButton.current?.focus();
  }

  function open(conversationId: string): void {
    store.open(conversationId);
    if (narrow && drawerOpen) closeDrawer();
    if (!isPlace(conversationId)) focusComposer();
  }

  async function openHit(hit: Hit): Promise<void> {
    if (hit.message_id !== null) await store.reach(hit.conversation_id, hit.message_id);
    flushSync(() => setSearching(false)); // nothing outside an open dialog takes the focus
    open(hit.conversation_id);
    if (hit.message_id !== null) store.seek(hit.conversation_id, hit.message_id);
  }

  useEffect(() => {
    function key(event: KeyboardEvent): void {
      if (document.querySelector("dialog[open]") || event.isComposing) return;
      if (event.key === "Escape") {
        if (narrow && drawerOpen) closeDrawer();
        else if (generating) void store.stop(id);
      } else if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        open(NEW);
      } else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearching(true);
      } else if (event.key === "/" && !isTyping(event.target)) {
        event.preventDefault();
        composer.current?.focus();
      }
    }
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  });

  if (!app) return null;
  return (
    <div className="page">
      {!page && (
        <a className="skip" href="#composer" onClick={(event) => (event.preventDefault(), composer.current?.focus())}>
          {words("skip")}
        </a>
      )}
      <Sidebar
        store={store}
        snapshot={snapshot}
        narrow={narrow}
        shown={!narrow || drawerOpen}
        onOpen={open}
        onSearch={() => setSearching(true)}
        onClose={closeDrawer}
        onLanguage={onLanguage}
      />
      <main inert={narrow && drawerOpen} data-temporary={temporary}>
        <header className="top">
          {narrow && (
            <button type="button" className="quiet" ref={menuButton} aria-label={words("openMenu")} aria-expanded={drawerOpen} onClick={() => setDrawerOpen(true)}>
              <MenuIcon />
            </button>
          )}
          {!empty && <h1>{title}</h1>}
          {id === NEW && (
            <button type="button" className="temporary-switch" aria-pressed={temporary} title={words("temporary")} onClick={() => store.setTemporary(!temporary)}>
              <HourglassIcon />
              <span className={narrow ? "unseen" : undefined}>{words("temporary")}</span>
            </button>
          )}
          {folder && (
            <button type="button" className="folder-name" aria-label={words("folderOf", { name: folder.name })} onClick={() => setFolderShown(true)}>
              <FolderIcon />
              <span className="row-title">{folder.name}</span>
            </button>
          )}
          {app.share_links && !page && !empty && !temporary && id !== NEW && !generating && <ShareButton store={store} id={id} title={title} />}
          {!page && <ChatSettings store={store} chatId={id} model={model} />}
          {!page && <ModelPicker app={app} store={store} chatId={id} model={model} />}
        </header>
        {temporary && <p className="banner temporary">{words("temporaryHelp")}</p>}
        {snapshot.away && (
          <p className="banner" role="status">
            {words("away")}
          </p>
        )}
        {page ? (
          <Suspense fallback={<div className="scroller" />}>
            <page.Content store={store} />
          </Suspense>
        ) : empty ? (
          <Welcome model={model} first={snapshot.conversations.length === 0} shared={app?.accounts ?? false} onPick={(text) => (focusComposer(), void store.send(id, text))} />
        ) : (
          <Conversation key={id} id={id} chat={chat} store={store} sought={snapshot.sought} />
        )}
        {!page && (
          <Composer
            field={composer}
            text={store.draft(id)}
            busy={generating || (chat.pending !== null && chat.pending.refused === null)}
            generating={generating}
            modelId={typeof model === "string" ? model : model.id}
            host={typeof model === "string" ? null : model.host}
            onText={(text) => store.setDraft(id, text)}
            onSend={(text) => void store.send(id, text)}
            onStop={() => {
              void store.stop(id);
              composer.current?.focus(); // the button is about to go
            }}
          />
        )}
      </main>
      <Suspense>
        {searching && <SearchDialog onPick={openHit} onClose={() => setSearching(false)} />}
        {folder && folderShown && <FolderDialog folder={folder} store={store} onClose={() => setFolderShown(false)} />}
      </Suspense>
      <Announcer spoken={snapshot.spoken} message={chat.messages.at(-1) ?? null} />
    </div>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select");
}
