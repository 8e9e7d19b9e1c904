// What the page knows: conversations, their messages, and which are being answered. React reads snapshots; deltas are
// gathered and published once per animation frame, so that a fast model never makes the page paint twice for nothing.
import { api, asApiError, type ApiError, type Message, type Model, type Rating, type Settings, type Stats, type Turn, type Verdict } from "./api";
import { holding } from "./holding";
import { newClientId } from "./clientId";
import { folderApi, type Folder } from "./folders";
import { inTurn } from "./inTurn";
import { answered, judged, withTurn } from "./path";
import { recall, remember } from "./memory";
import { isPlace } from "./places";
import { AS_EVER } from "./settings";
import { EMPTY, isGenerating, NEW, WAITING, type Chat, type Pending, type Snapshot } from "./snapshot";
import { endOf, type Spoken } from "./spoken";
import { follow, type Cursor } from "./stream";
import { isTemporary } from "./temporary";

interface Arrived {
  conversationId: string;
  content: string;
  thinking: string;
}

const NO_STATS: Stats = { first_token_s: null, tokens: null, tokens_per_s: null, dropped_turns: 0 };
const RECONNECT_MS = 2000;
const draftName = (id: string): string => `draft.${id || "new"}`;

export class ChatStore {
  #snapshot: Snapshot = {
    app: null,
    problem: null,
    away: false,
    conversations: [],
    deleted: [],
    chats: {},
    openId: location.hash.slice(1),
    unread: new Set(),
    drafts: {},
    newModel: null,
    folders: [],
    newFolder: null,
    newTemporary: false,
    sought: null,
    newSettings: AS_EVER,
    spoken: null,
  };
  readonly #subscribers = new Set<() => void>();
  readonly #following = new Map<string, () => void>();
  readonly #cursors = new Map<string, Cursor>();
  /** Text and thoughts received since the last frame, by message. */
  readonly #arrived = new Map<string, Arrived>();
  #frame = 0;
  #trying = 0;
  /** Ends when the model chosen last is known to the server: what is asked then is meant for it. */
  #choosing: Promise<void> = Promise.resolve();
  readonly #inTurn = inTurn(); // by message: what was said of it last shall be what is kept

  snapshot = (): Snapshot => this.#snapshot;

  subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  chat(id: string): Chat {
    return this.#snapshot.chats[id] ?? EMPTY;
  }

  draft(id: string): string {
    return this.#snapshot.drafts[id] ?? recall(draftName(id));
  }

  setDraft(id: string, text: string): void {
    this.#keepDraft(id, text);
    this.#change({ drafts: { ...this.#snapshot.drafts, [id]: text } });
  }

  /** What is written in temporary conversations is not kept in this browser either. */
  #keepDraft(id: string, text: string): void {
    const temporary = isTemporary(id) || (id === NEW && this.#snapshot.newTemporary);
    remember(draftName(id), temporary ? "" : text);
  }

  /** Say whether the next conversation is to be kept in memory only. */
  setTemporary(newTemporary: boolean): void {
    this.#change({ newTemporary, newFolder: null });
    this.#keepDraft(NEW, this.draft(NEW));
  }

  /** Who answers in a conversation: a model on offer, or the name of one that is not any more. */
  model(id: string): Model | string {
    const { app, conversations, newModel } = this.#snapshot;
    const chosen = id === NEW ? newModel : conversations.find((c) => c.id === id)?.model;
    const name = chosen ?? app?.default_model ?? "";
    return app?.models.find((model) => model.id === name) ?? name;
  }

  /** How the next answers of a conversation are asked for. */
  settings(id: string): Settings {
    const { conversations, newSettings } = this.#snapshot;
    return id === NEW ? newSettings : (conversations.find((c) => c.id === id)?.settings ?? AS_EVER);
  }

  async chooseSettings(id: string, settings: Settings): Promise<void> {
    if (id === NEW) return this.#change({ newSettings: settings });
    const chosen = await api.chooseSettings(id, settings);
    this.#change({ conversations: this.#snapshot.conversations.map((c) => (c.id === id ? { ...c, settings: chosen } : c)) });
  }

  async chooseModel(id: string, model: string): Promise<void> {
    if (id === NEW) return this.#change({ newModel: model });
    const before = this.#snapshot.conversations.find((c) => c.id === id)?.model ?? null;
    this.#showModel(id, model);
    const choosing = api.chooseModel(id, model).then(
      () => undefined,
      (error: unknown) => {
        this.#showModel(id, before);
        throw error;
      },
    );
    this.#choosing = choosing.catch(() => undefined);
    await choosing;
  }

  #showModel(id: string, model: string | null): void {
    this.#change({ conversations: this.#snapshot.conversations.map((c) => (c.id === id ? { ...c, model } : c)) });
  }

  /** Read again which models are on offer; while the server is away, those that were stay. */
  async refreshModels(): Promise<void> {
    const app = await api.state().catch(() => null);
    if (app) this.#change({ app });
  }

  /** Read everything the page starts from; called again until the server is there. */
  async start(): Promise<void> {
    try {
      const app = await api.state();
      this.#change({ app, problem: null, away: false });
      await this.refresh();
      this.open(location.hash.slice(1)); // the address may have changed before anybody listened
    } catch (error) {
      const problem = asApiError(error);
      this.#change({ problem });
      if (WAITING.has(problem.status)) setTimeout(() => void this.start(), RECONNECT_MS);
    }
  }

  async refresh(): Promise<void> {
    const [kept, temporary, { folders }] = await Promise.all([api.conversations(), api.temporary(), folderApi.list()]);
    const conversations = [...temporary, ...kept.conversations];
    this.#change({ conversations, folders, away: false });
    for (const { id, generating } of conversations) if (generating && !this.#following.has(id)) void this.#load(id);
  }

  /** Called when the reader comes back to the page: other tabs may have done something. */
  async comeBack(): Promise<void> {
    if (!this.#snapshot.app) return;
    try {
      await this.refresh();
      await this.#renew(this.#snapshot.openId);
    } catch (error) {
      this.#miss(asApiError(error));
    }
  }

  /** Something could not be read: the session has ended, so that the page has a door again, or the server is away or not ready. */
  #miss(problem: ApiError): void {
    if (problem.status === 401) this.#change({ app: null, problem });
    else if (WAITING.has(problem.status)) this.#lose();
  }

  /** The server does not answer: say so, and try again until it does. */
  #lose(): void {
    this.#change({ away: true });
    if (this.#following.size > 0) return; // that tries by itself
    this.#trying ||= setTimeout(() => {
      this.#trying = 0;
      void this.comeBack();
    }, RECONNECT_MS);
  }

  /** Read a conversation anew, for it may have gone on elsewhere, unless this page knows more of it than the server tells. */
  async #renew(id: string): Promise<void> {
    if (id !== NEW && !isPlace(id) && !this.#following.has(id) && !this.chat(id).pending) await this.#load(id);
  }

  /** The project that a conversation lies in, or will. */
  folder(id: string): Folder | null {
    const { conversations, folders, newFolder } = this.#snapshot;
    const folderId = id === NEW ? newFolder : conversations.find((c) => c.id === id)?.folder_id;
    return folders.find((folder) => folder.id === folderId) ?? null;
  }

  /** Begin a conversation in a project. */
  openIn(folderId: string): void {
    this.open(NEW);
    this.#change({ newFolder: folderId, newTemporary: false });
  }

  open(id: string): void {
    if (location.hash.slice(1) !== id) history.pushState(null, "", id === NEW ? location.pathname : `#${id}`);
    const unread = new Set(this.#snapshot.unread);
    unread.delete(id);
    if (id !== this.#snapshot.openId) this.#change({ newFolder: null, newTemporary: false });
    this.#change({ openId: id, unread, deleted: [], sought: null });
    void this.#renew(id);
  }

  /** Fetch a conversation so that a message of it is among those shown, on whichever branch it is. */
  async reach(id: string, messageId: string): Promise<void> {
    const isShown = () => this.chat(id).messages.some((message) => message.id === messageId);
    if (!isShown()) await this.#load(id);
    if (!isShown()) await this.show(id, messageId);
  }

  /** Lead the reader to a message of a conversation. */
  seek(id: string, messageId: string): void {
    this.open(id);
    this.#change({ sought: messageId });
  }

  async send(id: string, content: string): Promise<void> {
    // The browser keeps the text as a draft until the server has it; only the field is emptied now.
    this.#change({ drafts: { ...this.#snapshot.drafts, [id]: "" } });
    await this.#send(id, { clientId: newClientId(), content, insteadOf: null, refused: null });
  }

  /** Ask a question anew, beside the first. */
  async askAnew(id: string, questionId: string, content: string): Promise<void> {
    await this.#send(id, { clientId: newClientId(), content, insteadOf: questionId, refused: null });
  }

  /** Send a refused question again. */
  async retry(id: string): Promise<void> {
    const { pending } = this.chat(id);
    if (pending) await this.#send(id, { ...pending, refused: null });
  }

  async #send(id: string, pending: Pending): Promise<void> {
    this.#changeChat(id, { pending });
    try {
      if (id === NEW) id = await this.#begin();
      await this.#choosing;
      const turn = await api.send(id, pending.content, pending.clientId, pending.insteadOf);
      if (!pending.insteadOf) this.setDraft(id, this.#snapshot.drafts[id] ?? "");
      this.#changeChat(id, { pending: null });
      await this.#answering(id, turn);
    } catch (error) {
      const refused = asApiError(error);
      const { pending } = this.chat(id);
      if (pending) this.#changeChat(id, { pending: { ...pending, refused } });
      else if (refused.status === 0) this.#lose();
    }
  }

  /** Ask for another answer beside one. */
  async answerAgain(id: string, answerId: string): Promise<void> {
    await this.#choosing;
    await this.#answering(id, await api.answerAgain(id, answerId, newClientId()));
  }

  /** Let an answer that was cut short go on. */
  async resume(id: string, answerId: string): Promise<void> {
    await this.#answering(id, await api.resume(id, answerId));
  }

  async #answering(id: string, turn: Turn): Promise<void> {
    this.#changeChat(id, { messages: withTurn(this.chat(id).messages, turn) });
    this.#speak("started");
    this.#follow(id);
    await this.refresh();
  }

  /** Show another of the messages that stand in one place, with what was said after it. */
  async show(id: string, messageId: string): Promise<void> {
    const { messages, last_event } = await api.show(id, messageId);
    this.#cursors.set(id, { last: last_event });
    this.#changeChat(id, { messages });
  }

  async rate(id: string, messageId: string, rating: Rating | null): Promise<void> {
    await this.#inTurn(messageId, () => api.rate(messageId, rating));
    this.#judge(id, messageId, { rating });
    this.#speak(rating ? "noted" : "takenBack");
  }

  async improve(id: string, messageId: string, content: string | null): Promise<void> {
    await this.#inTurn(messageId, () => api.improve(messageId, content));
    const own = this.chat(id).messages.find((m) => m.id === messageId)?.content;
    this.#judge(id, messageId, { better: content === own ? null : content });
    this.#speak(content === null ? "takenBack" : "noted");
  }

  async prefer(id: string, message: Message, otherId: string, verdict: Verdict | null): Promise<void> {
    await this.#inTurn(message.id, () => api.prefer(message.id, otherId, verdict));
    this.#judge(id, message.id, { preferences: judged(message, otherId, verdict) });
    this.#speak(verdict ? "noted" : "takenBack");
  }

  #judge(id: string, messageId: string, change: Partial<Message>): void {
    this.#changeChat(id, { messages: this.chat(id).messages.map((m) => (m.id === messageId ? { ...m, ...change } : m)) });
  }

  /** Take a refused question back; its text goes into the composer again. */
  withdraw(id: string): void {
    const { pending } = this.chat(id);
    this.#changeChat(id, { pending: null });
    if (pending) this.setDraft(id, [pending.content, this.#snapshot.drafts[id]].filter(Boolean).join("\n"));
  }

  async stop(id: string): Promise<void> {
    const message = this.chat(id).messages.at(-1);
    if (message?.status !== "generating") return;
    await api.stop(id, message.id).catch((error: unknown) => asApiError(error).status === 0 && this.#lose());
  }

  async rename(id: string, title: string): Promise<void> {
    const renamed = await api.rename(id, title);
    this.#change({
      conversations: this.#snapshot.conversations.map((c) => (c.id === id ? { ...c, title: renamed.title } : c)),
    });
  }

  /** Delete a conversation; it can be had back. */
  async remove(id: string): Promise<void> {
    const removed = this.#snapshot.conversations.filter((c) => c.id === id);
    await api.remove(id);
    this.#endFollowing(id);
    this.#cursors.delete(id);
    remember(draftName(id), "");
    const { [id]: _removed, ...chats } = this.#snapshot.chats;
    this.#change({ chats, conversations: this.#snapshot.conversations.filter((c) => c.id !== id) });
    const { deleted, openId } = this.#snapshot;
    if (openId === id) this.open(NEW);
    if (!isTemporary(id)) this.#change({ deleted: [...deleted, ...removed] });
    this.#speak("deleted");
  }

  /** Everything was erased on the server: forget it here, drafts too. */
  forgetAll(): void {
    for (const id of this.#following.keys()) this.#endFollowing(id);
    for (const { id } of this.#snapshot.conversations) remember(draftName(id), "");
    remember(draftName(NEW), "");
    this.#cursors.clear();
    this.#change({ chats: {}, conversations: [], deleted: [], drafts: {}, unread: new Set() });
  }

  /** Have a deleted conversation back. */
  async restore(id: string): Promise<void> {
    await holding.restore(id);
    await this.refresh();
    this.#change({ deleted: this.#snapshot.deleted.filter((c) => c.id !== id) });
    this.#speak("restored");
  }

  /** Make the conversation that the question waiting under NEW starts. */
  async #begin(): Promise<string> {
    const { newModel, newSettings, newTemporary } = this.#snapshot;
    const made = await api.create(newModel, newSettings, newTemporary);
    const folder = this.folder(NEW);
    if (folder) await folderApi.file(made.id, folder.id);
    const summary = { ...made, folder_id: folder?.id ?? null };
    const { [NEW]: waiting, ...chats } = this.#snapshot.chats;
    this.#cursors.set(summary.id, { last: 0 });
    const { drafts } = this.#snapshot;
    remember(draftName(NEW), "");
    this.#keepDraft(summary.id, waiting?.pending?.content ?? "");
    this.#change({
      chats: { ...chats, [summary.id]: { ...EMPTY, pending: waiting?.pending ?? null } },
      conversations: [summary, ...this.#snapshot.conversations],
      drafts: { ...drafts, [NEW]: "", [summary.id]: drafts[NEW] ?? "" },
      newModel: null,
      newSettings: AS_EVER,
    });
    if (this.#snapshot.openId === NEW) this.open(summary.id);
    return summary.id;
  }

  async #load(id: string): Promise<void> {
    if (!this.#snapshot.chats[id]) this.#changeChat(id, { loading: true });
    try {
      const { messages, last_event } = await api.conversation(id);
      if (this.#following.has(id)) return; // a live answer knows more than this reply
      this.#cursors.set(id, { last: last_event });
      const isNews = JSON.stringify(messages) !== JSON.stringify(this.chat(id).messages); // else nothing is drawn anew
      this.#changeChat(id, { ...(isNews && { messages }), loading: false, refused: null });
      if (isGenerating(this.chat(id))) this.#follow(id);
    } catch (error) {
      const refused = asApiError(error);
      const isHere = this.chat(id).messages.length > 0; // and stays readable
      this.#miss(refused);
      if (!WAITING.has(refused.status) || !isHere) this.#changeChat(id, { loading: false, refused });
    }
  }

  reload(id: string): void {
    this.#changeChat(id, { loading: true, refused: null });
    void this.#load(id);
  }

  #follow(id: string): void {
    if (this.#following.has(id)) return;
    const cursor = this.#cursors.get(id) ?? { last: 0 };
    this.#cursors.set(id, cursor);
    const end = follow(id, cursor, {
      delta: (messageId, text) => this.#gather(id, messageId, "content", text),
      thought: (messageId, text) => this.#gather(id, messageId, "thinking", text),
      waits: (messageId, queue_place) => this.#wait(id, messageId, queue_place),
      done: (message) => this.#finish(id, message),
      away: (away) => this.#snapshot.away !== away && this.#change({ away }),
      refused: (refused) => {
        this.#endFollowing(id);
        this.#changeChat(id, { refused });
      },
    });
    this.#following.set(id, end);
  }

  #wait(id: string, messageId: string, queue_place: number): void {
    this.#changeChat(id, {
      messages: this.chat(id).messages.map((m) => (m.id === messageId ? { ...m, stats: { ...NO_STATS, ...m.stats, queue_place } } : m)),
    });
  }

  #gather(conversationId: string, messageId: string, part: "content" | "thinking", text: string): void {
    const before = this.#arrived.get(messageId) ?? { conversationId, content: "", thinking: "" };
    this.#arrived.set(messageId, { ...before, [part]: before[part] + text });
    this.#frame ||= requestAnimationFrame(() => this.#publish());
  }

  #publish(): void {
    this.#frame = 0;
    for (const [messageId, { conversationId, content, thinking }] of this.#arrived) {
      const messages = this.chat(conversationId).messages.map((m) =>
        m.id === messageId ? { ...m, content: m.content + content, thinking: (m.thinking ?? "") + thinking || null } : m,
      );
      this.#changeChat(conversationId, { messages });
    }
    this.#arrived.clear();
  }

  #finish(id: string, message: Message): void {
    // A server that no longer keeps the events we missed sends answers whole, those we know among them.
    const isNews = this.chat(id).messages.find((m) => m.id === message.id)?.status === "generating";
    this.#arrived.delete(message.id);
    this.#changeChat(id, { messages: answered(this.chat(id).messages, message) });
    if (!isNews) return;
    this.#speak(endOf(message.status));
    if (isGenerating(this.chat(id))) return;
    this.#endFollowing(id);
    if (this.#snapshot.openId !== id) this.#change({ unread: new Set(this.#snapshot.unread).add(id) });
    void this.refresh().catch(() => this.#lose());
  }

  #endFollowing(id: string): void {
    this.#following.get(id)?.();
    this.#following.delete(id);
  }

  #speak(event: Spoken): void {
    this.#change({ spoken: { event, count: (this.#snapshot.spoken?.count ?? 0) + 1 } });
  }

  #changeChat(id: string, change: Partial<Chat>): void {
    this.#change({ chats: { ...this.#snapshot.chats, [id]: { ...this.chat(id), ...change } } });
  }

  #change(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const subscriber of this.#subscribers) subscriber();
  }
}
