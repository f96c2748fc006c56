import { Problem, type RestClient } from "../net/rest";
import { GatewaySocket, type WebSocketLike } from "../net/socket";
import type { ClientFrame, Message, User } from "../protocol/types";
import { SyncClient } from "../sync/syncclient";
import { Drafts, type DraftStorage } from "../sync/drafts";
import { Outbox, type OutboxStorage } from "../sync/outbox";
import { ServerClock } from "../sync/serverclock";
import type { Locks } from "../sync/senderlock";
import type { TabMessage, Tabs } from "../sync/tabs";
import type { AppStore } from "./app";
import { Conversations } from "./conversations";
import { MarkSender } from "./marks";
import { Messages } from "./messages";
import { OfflineCopy } from "./offlinecopy";
import { Presence } from "./presence";
import { Timelines } from "./timelines";
import { Users } from "./users";

/** SessionStorage is what a device keeps for an account. */
export type SessionStorage = OutboxStorage &
  DraftStorage & {
    close(): void;
  };

export type SessionOptions = {
  store: AppStore;
  rest: RestClient;
  storage: SessionStorage;
  /** The account's other tabs. */
  tabs: Tabs;
  /** The account's id: everything is done for it or not at all. */
  account: string;
  dial: (account: string) => WebSocketLike;
  /** Of the browser, where conversations are kept to be read offline. */
  copyLocks?: Locks;
  /** Called when what is kept to be read offline cannot be kept up to date. */
  onCopyFailed?: () => void;
  /** Called with each connection: by which of the account's sessions the browser has it. */
  onConnected: (user: User, session: string) => void;
  /** Called when the server has ended the session. */
  onRevoked: () => void;
  /** Called when the browser turns out to be logged in as somebody else. */
  onOtherAccount: () => void;
};

/** Returns a store that changes nothing any more once a signal is aborted: the
 * state is then another session's, or nobody's. */
function storeUntil(signal: AbortSignal, store: AppStore): AppStore {
  const setState = (update: Parameters<AppStore["setState"]>[0]) => {
    if (!signal.aborted) store.setState(update);
  };
  return { ...store, setState };
}

const isVisible = () => document.visibilityState === "visible";

/** Session is what runs while an account is logged in: the connection, the
 * synchronization, the outbox, and what a user can do with them. */
export class Session {
  /** For requests of this session; their answers end with it. */
  readonly rest: RestClient;
  readonly conversations: Conversations;
  readonly marks: MarkSender;
  readonly messages: Messages;
  readonly presence: Presence;
  readonly timelines: Timelines;
  readonly users: Users;
  private readonly socket: GatewaySocket;
  private readonly sync: SyncClient;
  private readonly outbox: Outbox;
  private readonly drafts: Drafts;
  private readonly copy: OfflineCopy | undefined;
  /** Whether what the device has kept was shown. */
  private restored = false;
  private readonly messageListeners = new Set<(m: Message) => void>();
  private readonly ended = new AbortController();
  private readonly store: AppStore;

  constructor(private readonly options: SessionOptions) {
    const { storage, account, tabs, dial, onRevoked } = options;
    const store = storeUntil(this.ended.signal, options.store);
    const rest = options.rest.for(account, this.ended.signal);
    this.store = store;
    this.rest = rest;
    const clock = new ServerClock();
    const send = (frame: ClientFrame) => this.socket.send(frame);
    this.conversations = new Conversations(store, rest, (c) => this.sync.described(c));
    this.marks = new MarkSender(store, send);
    this.presence = new Presence(store, send);
    this.users = new Users(store, rest);
    const { copyLocks: locks, onCopyFailed: onFailed = () => {} } = options;
    const onNeeded = (users: string[]) => this.users.need(users);
    if (locks) this.copy = new OfflineCopy({ account, store, rest, locks, onNeeded, onFailed, isVisible });
    this.timelines = new Timelines(
      store,
      rest,
      (id) => this.sync.timelineLoaded(id),
      this.copy && ((id) => this.copy!.timeline(id)),
    );
    this.outbox = new Outbox(storage, send, (outbox) => store.setState({ outbox }), tabs);
    this.drafts = new Drafts(
      storage,
      (drafts) => store.setState({ drafts }),
      (m) => tabs.post(m),
    );
    this.messages = new Messages(rest, this.outbox, this.drafts, clock, send);
    tabs.onMessage = (m) => this.handleTabMessage(m);
    this.sync = new SyncClient(store, send, this.outbox);
    this.sync.onMessage = (m) => {
      for (const f of this.messageListeners) f(m);
    };
    this.sync.onReceived = (m) => this.marks.markReceived(m);
    this.sync.onListed = () => this.marks.listed();
    this.sync.onApplied = (all) => this.copy?.applied(all);
    this.socket = new GatewaySocket(() => dial(account), {
      onState: (connection) => {
        store.setState({ connection, retryAt: this.socket.retryAt });
        if (connection === "open") return store.setState({ originRefused: false });
        // Who is there is not known any more.
        store.setState({ presence: {}, typing: {} });
        if (connection === "waiting") void this.restore();
        this.outbox.disconnected();
        this.sync.disconnected();
      },
      onDoubt: (doubtful) => store.setState({ doubtful }),
      onOpen: (hello) => {
        if (hello.user.id !== account) {
          this.stop();
          options.onOtherAccount();
          return;
        }
        options.onConnected(hello.user, hello.session);
        clock.set(hello.time);
        this.sync.connected(hello.epoch);
        this.copy?.connected(hello.epoch);
        this.outbox.connected(hello.limits.in_flight);
        this.marks.connected();
        this.presence.connected();
        this.users.refresh();
      },
      onFrame: (f) => this.sync.handleFrame(f),
      isInView: isVisible,
      cursor: () => this.sync.cursor,
      onTerminated: onRevoked,
      onFailed: () => void this.askWhyFailed().catch(() => {}),
    });
  }

  /** Asks what browsers do not tell of a connection that has failed. */
  private async askWhyFailed() {
    // The answer tells whose session the browser has, if any.
    await this.rest.get("/me");
    const originRefused = await this.rest.call("OPTIONS", "/socket").then(
      () => false,
      (e) => e instanceof Problem && e.code === "origin_refused",
    );
    if (this.socket.state !== "open") this.store.setState({ originRefused });
  }

  /** Takes up the messages and drafts that an earlier page left unsent, and connects.
   * When it is known that the server cannot be reached, what the device has kept is shown
   * before that is tried. */
  async start(isOffline = false) {
    await Promise.all([this.outbox.load(), this.drafts.load(), isOffline && this.restore()]);
    // The session may have been stopped meanwhile: the store is another's now.
    if (this.ended.signal.aborted) return;
    this.copy?.start();
    this.socket.start();
    this.users.keepFresh(isVisible);
  }

  /** Shows what the device has kept, unless the server has told more already. */
  private async restore() {
    const list = this.restored || this.store.getState().ready ? null : await this.copy?.load();
    if (!list || this.ended.signal.aborted) return;
    this.restored = true;
    this.users.restore(list.users);
    this.sync.restore(list);
  }

  stop() {
    this.ended.abort();
    this.socket.stop();
    this.sync.stop();
    this.copy?.stop();
    this.outbox.stop();
    this.marks.stop();
    this.timelines.stop();
    this.users.stop();
    this.options.tabs.close();
    this.options.storage.close();
  }

  /** Connects now instead of at the end of the wait: the network is back, or
   * the page is visible again. */
  reconnectNow() {
    this.socket.reconnectNow();
    this.outbox.attended();
    void this.outbox.load(); // an answer to a notification, which the worker could not send
    this.users.refresh();
    if (isVisible()) this.copy?.attended();
  }

  /** The person looks elsewhere, or the page is closed. */
  leave() {
    this.marks.leave();
    void this.copy?.leave();
  }

  /** Somebody uses the page, which does not wait then until it connects again. */
  attended() {
    this.socket.attended();
  }

  /** The device says that it has no network. */
  networkLost() {
    this.socket.networkLost();
  }

  /** Calls f for each message of others that arrives live; returns what ends that. */
  onMessage(f: (m: Message) => void): () => void {
    this.messageListeners.add(f);
    return () => void this.messageListeners.delete(f);
  }

  /** The device's database works again, or does not any more. */
  storageChanged(isOpen: boolean) {
    this.store.setState({ storageFailed: !isOpen });
    if (!isOpen) return;
    void this.outbox.load();
    void this.drafts.load();
  }

  private handleTabMessage(m: TabMessage) {
    if (m.t === "draft") {
      this.drafts.receive(m);
      return;
    }
    this.outbox.receive(m);
    if (m.t === "hello") this.drafts.tell();
  }

  async changeDisplayName(display_name: string) {
    const me = await this.rest.patch<User>("/me", { display_name });
    this.store.setState((s) => ({ me, users: { ...s.users, [me.id]: me } }));
  }
  changePassword(current: string, replacement: string) {
    return this.rest.put("/me/password", { old: current, new: replacement });
  }
}
