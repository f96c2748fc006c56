import type { ClientFrame, Rejected } from "../protocol/types";
import { messageDigest } from "./digest";
import type { SenderLock } from "./senderlock";
import type { StoredMessage } from "./storage";

export type OutboxState = "sending" | "accepted" | "failed";

export type OutboxMessage = {
  id: string;
  conversation: string;
  body: string;
  replyTo: number;
  at: number;
  state: OutboxState;
  code?: string;
};

/** OutboxStorage keeps the messages on the device. It may fail at any time, as
 * when the browser closes the database: the messages are sent nevertheless. */
export type OutboxStorage = {
  outbox(): Promise<StoredMessage[]>;
  /** Keeps a message; one that was written just now is no draft any more. */
  save(m: StoredMessage, wasDraft?: boolean): Promise<void>;
  delete(id: string): Promise<void>;
};

/** A message as all tabs of the account have it. It only moves forward (see progress),
 * so that tabs agree in whatever order they hear of that. */
export type SharedMessage = OutboxMessage & {
  /** Where it stands among the others: when it was written, by the clock that all
   * tabs of the browser share. */
  order: number;
  /** Whether it may have reached the server at any time. */
  attempted: boolean;
  /** How often the person has sent it again under its id. */
  retries?: number;
  /** In milliseconds, how long the server wants to be spared it from now on. */
  pause?: number;
};

/** Pause is the time in which the server does not want a message again. */
type Pause = { ms: number; until: number; timer: ReturnType<typeof setTimeout> };

/** What the outboxes of an account's tabs tell each other. */
export type OutboxTabMessage =
  /** What a tab has; the others answer with what they have. */
  | { t: "hello"; messages: SharedMessage[] }
  /** What is new or has changed. The tab that says so takes the lock, if it takes it,
   * and sends these messages itself. */
  | { t: "changed"; messages: SharedMessage[]; takes: boolean }
  /** What the person has given up, or sent again under another id. */
  | { t: "removed"; ids: string[] }
  /** What the server has stored, as one tab has seen. */
  | { t: "stored"; ids: string[] };

/** OutboxTabs are the other tabs; see Tabs. */
export type OutboxTabs = {
  readonly lock: SenderLock;
  isVisible(): boolean;
  post(m: OutboxTabMessage): void;
};

/** How long a tab that the person sees waits for another tab to send something, before
 * it takes over: that one may be frozen, or its timers slowed down. */
const takeoverDelay = 3000;

/** Within this time a tab that is connected has seen what is stored, by itself. */
const repairBound = 5000;

/** How many messages that are gone a tab remembers, so that no other brings them back. */
const maxGone = 1000;

type Entry = SharedMessage & {
  /** Whether it was sent on the current connection. */
  sent: boolean;
  /** Whether the server rejected it for now on this connection, and lets no later
   * message pass until it is sent again or withdrawn. */
  owed: boolean;
  /** Whether another tab sends it, while this one may send too. */
  foreign: boolean;
  /** Whether another tab has seen that it is stored. It is shown until this tab has
   * seen that too, which it may not before it is connected. */
  isStored: boolean;
};

/** Outbox holds the messages that the server has not stored yet. Each is saved
 * on the device before it is sent, sent in the order of writing within its
 * conversation, and removed when the server has stored it. Sending a message
 * twice is harmless: the server recognizes its id.
 *
 * All tabs of an account have the same messages, and one of them sends: that in which
 * the person has written last, or another that is connected when that one is not. It
 * begins, as after each connection, with everything that has no final answer. */
export class Outbox {
  private entries: Entry[] = [];
  /** By message. The later messages of its conversation wait as well. */
  private readonly pauses = new Map<string, Pause>();
  private isConnected = false;
  private isStopped = false;
  private inFlightLimit = 1;
  private order = 0;
  /** The ids that were removed last, and why: what is loaded or told later does not
   * bring them back. */
  private readonly gone = new Map<string, "removed" | "stored">();
  private storedTimer: ReturnType<typeof setTimeout> | undefined;
  private takeoverTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly storage: OutboxStorage,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly onChange: (messages: OutboxMessage[]) => void,
    private readonly tabs: OutboxTabs,
  ) {
    tabs.lock.onChange = (isHeld) => this.begin(isHeld);
  }

  /** Loads the messages that other pages left unsent, those that ended as well as those
   * that are open; again when the storage works that did not before. */
  async load() {
    const stored = await this.storage.outbox().catch((e): StoredMessage[] => {
      console.warn("unsent messages cannot be loaded", e);
      return [];
    });
    if (this.isStopped) return;
    this.merge(
      stored.map(({ failed, ...s }) => ({
        ...s,
        state: failed ? "failed" : "sending",
        code: failed,
        attempted: true,
      })),
      false,
    );
    // The browser may have emptied the database since it was opened before.
    const ids = new Set(stored.map((m) => m.id));
    for (const e of this.unstored) if (!ids.has(e.id)) void this.save(e);
    this.tabs.post({ t: "hello", messages: this.unstored.map((e) => this.shared(e)) });
  }

  /** Takes what another tab tells. */
  receive(m: OutboxTabMessage) {
    if (this.isStopped) return;
    if (m.t === "removed") {
      this.drop(m.ids, "removed");
      return;
    }
    if (m.t === "stored") {
      this.markStored(m.ids);
      return;
    }
    if (m.t === "changed" && m.takes) this.tabs.lock.yield();
    this.merge(m.messages, !this.tabs.lock.isExclusive);
    for (const t of ["removed", "stored"] as const) {
      const ids = m.messages.map((x) => x.id).filter((id) => this.gone.get(id) === t);
      if (ids.length > 0) this.tabs.post({ t, ids });
    }
    if (m.t === "hello" && this.unstored.length > 0) this.tell(this.unstored);
    this.watch();
  }

  /** Adds messages, and takes over what is new about those that are there. */
  private merge(messages: SharedMessage[], foreign: boolean) {
    for (const m of messages) {
      this.order = Math.max(this.order, m.order);
      if (this.gone.has(m.id)) continue;
      const e = this.find(m.id);
      if (!e) {
        const { pause, ...message } = m;
        this.entries.push({ ...message, sent: false, owed: false, foreign, isStored: false });
        if (pause) this.pause(m.id, pause);
        continue;
      }
      e.attempted ||= m.attempted;
      if (m.pause && this.willSend(e.id) && !this.pauses.has(e.id)) this.pause(e.id, m.pause);
      if (e.isStored || progress(m) <= progress(e)) continue;
      if (retriesOf(m) > retriesOf(e)) {
        e.retries = m.retries;
        e.sent = false;
        e.foreign = foreign;
      }
      e.state = m.state;
      e.code = m.code;
      if (e.state === "failed") this.withdrawOwed(e);
    }
    this.entries.sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1));
    this.publish();
    this.flush();
  }

  private markStored(ids: string[]) {
    for (const id of ids) {
      const e = this.find(id);
      if (!e) {
        this.forget(id, "stored");
        continue;
      }
      this.withdrawOwed(e);
      e.state = "accepted";
      e.code = undefined;
      e.isStored = true;
    }
    this.publish();
    this.flush();
    this.dropStoredLater();
  }

  /** Drops what is stored when this tab has had the time to see that. */
  private dropStoredLater() {
    clearTimeout(this.storedTimer);
    if (!this.isConnected) return;
    this.storedTimer = setTimeout(() => {
      const ids = this.entries.filter((e) => e.isStored).map((e) => e.id);
      if (!this.isConnected) return;
      this.drop(ids, "stored");
      for (const id of ids) void this.delete(id);
    }, repairBound);
  }

  private get unstored() {
    return this.entries.filter((e) => !e.isStored);
  }

  async add(id: string, conversation: string, body: string, replyTo: number, at: number) {
    const entry: Entry = {
      id,
      conversation,
      body,
      replyTo,
      at,
      state: "sending",
      // By the time, so that what was written in another tab before comes before it
      // whether this tab has heard of it or not.
      order: (this.order = Math.max(this.order + 1, Date.now())),
      attempted: false,
      sent: false,
      owed: false,
      foreign: false,
      isStored: false,
    };
    const takes = this.takeOver();
    this.entries.push(entry);
    this.publish();
    const saved = this.save(entry, true);
    this.tell([entry], takes);
    await saved;
    this.flush();
  }

  /** A connection is open: messages without a final answer are sent again, at
   * most inFlightLimit at a time. */
  connected(inFlightLimit: number) {
    this.isConnected = true;
    this.inFlightLimit = inFlightLimit;
    for (const e of this.entries) e.owed = false;
    this.tabs.lock.request();
    this.watch();
    this.dropStoredLater();
    // What a tab left that told nobody, because the browser has no channel.
    void this.load();
  }

  disconnected() {
    this.isConnected = false;
    this.tabs.lock.release();
  }

  /** The person looks at this tab, or the network is back. */
  attended() {
    this.watch();
  }

  /** The server has taken a message. Whether it was stored long ago is not said: nothing
   * more is heard then, if the user is not in its conversation. */
  accepted(id: string, isMember: (conversation: string) => boolean = () => true) {
    const e = this.find(id);
    if (!e || e.state !== "sending") return;
    if (e.retries && !isMember(e.conversation)) {
      this.stored(id);
      return;
    }
    e.state = "accepted";
    this.publish();
    this.tell([e]);
    this.flush();
  }

  rejected(frame: Pick<Rejected, "id" | "code" | "retry_after_ms" | "waits_for">) {
    const e = this.find(frame.id);
    if (!frame.retry_after_ms) {
      if (e && !e.isStored) this.fail(e, frame.code);
      return;
    }
    if (frame.waits_for && !this.willSend(frame.waits_for)) this.withdraw(frame.waits_for);
    if (!e || !this.willSend(e.id)) {
      this.withdraw(frame.id);
      return;
    }
    e.owed = true;
    // When another tab has taken over it is not sent again here.
    if (!this.tabs.lock.isHeld) return;
    e.sent = false;
    this.pause(e.id, frame.retry_after_ms);
    this.tell([e]);
  }

  /** A message failed after it was accepted. The digest says which one: it may be
   * another that was sent under the same id. A server of an earlier version gives
   * none. */
  failed(id: string, code: string, digest?: string) {
    const e = this.find(id);
    if (!e || e.isStored || (digest && digest !== messageDigest(e.conversation, e.replyTo, e.body))) return;
    if (e.state !== "failed" || e.code === "unconfirmed") this.fail(e, code);
  }

  private fail(e: Entry, code: string) {
    e.state = "failed";
    e.code = code;
    this.withdrawOwed(e);
    void this.save(e);
    this.publish();
    this.tell([e]);
    this.flush();
  }

  /** The server has stored the message: it was pushed, or is in the history. */
  stored(id: string) {
    if (!this.find(id)) return;
    this.drop([id], "stored");
    void this.delete(id);
    this.tabs.post({ t: "stored", ids: [id] });
  }

  /** Sends a failed message again. What the server has refused under an id stays so:
   * it goes under a new one. What has no answer goes under the same id, since it may be
   * stored. */
  retry(id: string, newId: string) {
    const e = this.find(id);
    if (e?.state !== "failed") return;
    const takes = this.takeOver();
    const isRefused = e.code !== "unconfirmed";
    if (isRefused) {
      this.forget(id, "removed");
      void this.delete(id);
      e.id = newId;
      e.attempted = false;
    }
    e.retries = isRefused ? 0 : retriesOf(e) + 1;
    e.state = "sending";
    e.code = undefined;
    e.sent = e.foreign = false;
    void this.save(e);
    this.publish();
    this.tell([e], takes);
    if (isRefused) this.tabs.post({ t: "removed", ids: [id] });
    this.flush();
  }

  remove(id: string) {
    this.drop([id], "removed");
    void this.delete(id);
    this.tabs.post({ t: "removed", ids: [id] });
  }

  private drop(ids: string[], why: "removed" | "stored") {
    for (const id of ids) {
      const e = this.find(id);
      if (e) this.withdrawOwed(e);
      this.forget(id, why);
    }
    this.entries = this.entries.filter((e) => !ids.includes(e.id));
    this.publish();
    this.flush();
  }

  private forget(id: string, why: "removed" | "stored") {
    this.gone.set(id, why);
    const [oldest] = this.gone.keys();
    if (this.gone.size > maxGone && oldest !== undefined) this.gone.delete(oldest);
  }

  /** The user is no longer in a conversation: messages to it fail, and are kept
   * until the user has seen that. Of those that may have reached the server it is
   * not known whether they were stored, until it says so. */
  removeConversation(conversation: string) {
    const of = this.entries.filter((e) => e.conversation === conversation);
    const stored = of.filter((e) => e.isStored).map((e) => e.id);
    if (stored.length > 0) this.drop(stored, "stored");
    const open = of.filter((e) => !e.isStored && e.state !== "failed");
    for (const e of open) {
      e.state = "failed";
      e.code = e.attempted ? "unconfirmed" : "not_found";
      this.withdrawOwed(e);
      void this.save(e);
    }
    if (open.length > 0) {
      this.publish();
      this.tell(open);
    }
    this.flush();
  }

  stop() {
    for (const id of [...this.pauses.keys()]) this.endPause(id);
    clearTimeout(this.takeoverTimer);
    clearTimeout(this.storedTimer);
    this.isConnected = false;
    this.isStopped = true;
    this.tabs.lock.release();
  }

  /** This tab sends from now on, or another does. */
  private begin(isHeld: boolean) {
    if (!isHeld) return;
    clearTimeout(this.takeoverTimer);
    for (const e of this.entries) e.sent = e.foreign = false;
    this.flush();
  }

  /** Makes this tab the one that sends, if it can. Reports whether it takes that over
   * from another. */
  private takeOver(): boolean {
    return this.isConnected && this.tabs.lock.take();
  }

  /** Takes over after a while in which nothing was heard of the tab that sends, if
   * something is unsent that the person looks at, and that the server wants. */
  private watch() {
    clearTimeout(this.takeoverTimer);
    if (!this.isConnected || this.tabs.lock.isHeld || !this.hasDue) return;
    this.takeoverTimer = setTimeout(() => {
      if (this.hasDue && this.tabs.isVisible()) this.takeOver();
    }, takeoverDelay);
  }

  private get hasDue() {
    return this.unpaused.some((e) => e.state === "sending");
  }

  /** What has no final answer and is not held up by a pause. */
  private get unpaused(): Entry[] {
    const paused = new Set<string>();
    return this.entries.filter((e) => {
      if (e.isStored || e.state === "failed") return false;
      if (this.pauses.has(e.id)) paused.add(e.conversation);
      return !paused.has(e.conversation);
    });
  }

  /** Does not send a message for some time, in whichever tab and on whichever
   * connection. */
  private pause(id: string, ms: number) {
    this.endPause(id);
    const timer = setTimeout(() => {
      this.pauses.delete(id);
      this.flush();
      this.watch();
    }, ms);
    this.pauses.set(id, { ms, until: Date.now() + ms, timer });
  }

  private endPause(id: string) {
    clearTimeout(this.pauses.get(id)?.timer);
    this.pauses.delete(id);
  }

  /** A message will not be sent again. */
  private withdrawOwed(e: Entry) {
    this.endPause(e.id);
    if (e.owed) this.withdraw(e.id);
    e.owed = false;
  }

  /** Tells the server that a message will not be sent again. That need not be
   * told twice: if it gets lost, the next rejection names the message. */
  private withdraw(id: string) {
    if (this.isConnected) this.send({ t: "withdraw", id });
  }

  private willSend(id: string) {
    const e = this.find(id);
    return e !== undefined && e.state !== "failed" && !e.isStored;
  }

  private find(id: string) {
    return this.entries.find((e) => e.id === id);
  }

  /** Saves a message on the device, if that is possible. */
  private async save(e: Entry, wasDraft = false) {
    const stored: StoredMessage = {
      id: e.id,
      order: e.order,
      conversation: e.conversation,
      body: e.body,
      replyTo: e.replyTo,
      at: e.at,
      failed: e.state === "failed" ? (e.code ?? "failed") : undefined,
      retries: e.retries,
    };
    try {
      await this.storage.save(stored, wasDraft);
    } catch (err) {
      console.warn("a message cannot be saved on the device", err);
    }
    // The server may have stored it meanwhile.
    if (!this.find(e.id)) await this.delete(e.id);
  }

  private async delete(id: string) {
    try {
      await this.storage.delete(id);
    } catch (err) {
      console.warn("a message cannot be deleted from the device", err);
    }
  }

  private flush() {
    if (!this.isConnected || !this.tabs.lock.isHeld) return;
    const attempted: Entry[] = [];
    let inFlight = this.entries.filter((e) => e.sent && e.state === "sending").length;
    for (const e of this.unpaused) {
      if (inFlight >= this.inFlightLimit) break;
      if (e.sent || e.foreign) continue;
      const frame: ClientFrame = { t: "send", id: e.id, conversation: e.conversation, body: e.body };
      if (e.replyTo) frame.reply_to = e.replyTo;
      if (!this.send(frame)) break;
      e.sent = true;
      e.owed = false;
      if (!e.attempted) attempted.push(e);
      e.attempted = true;
      inFlight++;
    }
    if (attempted.length > 0) this.tell(attempted);
  }

  private tell(messages: Entry[], takes = false) {
    this.tabs.post({ t: "changed", messages: messages.map((e) => this.shared(e)), takes });
  }

  private shared(e: Entry): SharedMessage {
    const { id, conversation, body, replyTo, at, state, code, order, attempted, retries } = e;
    const p = this.pauses.get(id);
    // The clock may have been set meanwhile.
    const pause = p && Math.min(p.ms, Math.max(0, p.until - Date.now()));
    return { id, conversation, body, replyTo, at, state, code, order, attempted, retries, pause };
  }

  private publish() {
    this.onChange(
      this.entries.map(({ id, conversation, body, replyTo, at, state, code }) => {
        return { id, conversation, body, replyTo, at, state, code };
      }),
    );
  }
}

/** How far a message has come: from sending to accepted or to unconfirmed, from there
 * to sending again, and at last to its final failure. */
function progress(m: SharedMessage): number {
  const steps = 3 * retriesOf(m);
  if (m.state === "sending") return steps;
  if (m.state === "accepted") return steps + 1;
  return m.code === "unconfirmed" ? steps + 2 : Infinity;
}

/** Pages of earlier versions do not count them. */
function retriesOf(m: SharedMessage): number {
  return m.retries ?? 0;
}
