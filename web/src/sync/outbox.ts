import type { ClientFrame, Rejected } from "../protocol/types";
import { messageDigest } from "./digest";
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
  save(m: StoredMessage): Promise<void>;
  delete(id: string): Promise<void>;
};

type Entry = OutboxMessage & {
  order: number;
  /** Whether it may have reached the server at any time. */
  attempted: boolean;
  /** Whether it was sent on the current connection. */
  sent: boolean;
  /** Whether the server rejected it for now on this connection, and lets no later
   * message pass until it is sent again or withdrawn. */
  owed: boolean;
};

/** Outbox holds the messages that the server has not stored yet. Each is saved
 * on the device before it is sent, sent in the order of writing within its
 * conversation, and removed when the server has stored it. Sending a message
 * twice is harmless: the server recognizes its id. */
export class Outbox {
  private entries: Entry[] = [];
  private retryTimers = new Map<string, ReturnType<typeof setTimeout>>();
  private isConnected = false;
  private isStopped = false;
  private inFlightLimit = 1;
  private order = 0;
  /** While messages are loaded, those that were removed meanwhile. */
  private removedWhileLoading: Set<string> | null = null;

  constructor(
    private readonly storage: OutboxStorage,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly onChange: (messages: OutboxMessage[]) => void,
  ) {}

  /** Loads the messages that an earlier page left unsent; again when the storage
   * works that did not before. */
  async load() {
    const removed = (this.removedWhileLoading ??= new Set());
    const stored = await this.storage.outbox().catch((e): StoredMessage[] => {
      console.warn("unsent messages cannot be loaded", e);
      return [];
    });
    this.removedWhileLoading = null;
    if (this.isStopped) return;
    const loaded = new Set([...this.entries.map((e) => e.id), ...removed]);
    const earlier: Entry[] = stored
      .filter((s) => !loaded.has(s.id))
      .map((s) => ({
        ...s,
        state: s.failed ? "failed" : "sending",
        code: s.failed,
        attempted: true,
        sent: false,
        owed: false,
      }));
    this.order = Math.max(this.order, ...stored.map((s) => s.order), 0);
    // They come before those of this page, also when all are loaded the next time.
    if (earlier.length > 0)
      for (const e of this.entries) {
        e.order = ++this.order;
        void this.save(e);
      }
    this.entries = [...earlier, ...this.entries];
    this.publish();
    this.flush();
  }

  async add(id: string, conversation: string, body: string, replyTo: number, at: number) {
    const entry: Entry = {
      id,
      conversation,
      body,
      replyTo,
      at,
      state: "sending",
      order: ++this.order,
      attempted: false,
      sent: false,
      owed: false,
    };
    this.entries.push(entry);
    this.publish();
    await this.save(entry);
    this.flush();
  }

  /** A connection is open: messages without a final answer are sent again, at
   * most inFlightLimit at a time. */
  connected(inFlightLimit: number) {
    this.isConnected = true;
    this.inFlightLimit = inFlightLimit;
    for (const timer of this.retryTimers.values()) clearTimeout(timer);
    this.retryTimers.clear();
    for (const e of this.entries) e.sent = e.owed = false;
    this.flush();
  }

  disconnected() {
    this.isConnected = false;
  }

  accepted(id: string) {
    const e = this.find(id);
    if (!e || e.state === "failed") return;
    e.state = "accepted";
    this.publish();
    this.flush();
  }

  rejected(frame: Pick<Rejected, "id" | "code" | "retry_after_ms" | "waits_for">) {
    const e = this.find(frame.id);
    if (!frame.retry_after_ms) {
      if (e) this.fail(e, frame.code);
      return;
    }
    if (frame.waits_for && !this.willSend(frame.waits_for)) this.withdraw(frame.waits_for);
    if (!e || e.state === "failed") {
      this.withdraw(frame.id);
      return;
    }
    e.sent = false;
    e.owed = true;
    this.pauseConversation(e.conversation, frame.retry_after_ms);
  }

  /** A message failed after it was accepted. The digest says which one: it may be
   * another that was sent under the same id. A server of an earlier version gives
   * none. */
  failed(id: string, code: string, digest?: string) {
    const e = this.find(id);
    if (!e || (digest && digest !== messageDigest(e.conversation, e.replyTo, e.body))) return;
    if (e.state !== "failed" || e.code === "unconfirmed") this.fail(e, code);
  }

  private fail(e: Entry, code: string) {
    e.state = "failed";
    e.code = code;
    this.withdrawOwed(e);
    void this.save(e);
    this.publish();
    this.flush();
  }

  /** The server has stored the message: it was pushed, or is in the history. */
  stored(id: string) {
    if (this.find(id)) this.remove(id);
  }

  /** Sends a failed message again, under a new id: what has failed under an id
   * stays so. */
  retry(id: string, newId: string) {
    const e = this.find(id);
    if (!e) return;
    void this.delete(id);
    e.id = newId;
    e.state = "sending";
    e.code = undefined;
    e.sent = false;
    void this.save(e);
    this.publish();
    this.flush();
  }

  remove(id: string) {
    this.removedWhileLoading?.add(id);
    const e = this.find(id);
    if (e) this.withdrawOwed(e);
    this.entries = this.entries.filter((x) => x.id !== id);
    void this.delete(id);
    this.publish();
    this.flush();
  }

  /** The user is no longer in a conversation: messages to it fail, and are kept
   * until the user has seen that. Of those that may have reached the server it is
   * not known whether they were stored, until it says so. */
  removeConversation(conversation: string) {
    const open = this.entries.filter((e) => e.conversation === conversation && e.state !== "failed");
    for (const e of open) {
      e.state = "failed";
      e.code = e.attempted ? "unconfirmed" : "not_found";
      this.withdrawOwed(e);
      void this.save(e);
    }
    if (open.length > 0) this.publish();
    this.flush();
  }

  stop() {
    for (const timer of this.retryTimers.values()) clearTimeout(timer);
    this.isConnected = false;
    this.isStopped = true;
  }

  private withdrawOwed(e: Entry) {
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
    return e !== undefined && e.state !== "failed";
  }

  private find(id: string) {
    return this.entries.find((e) => e.id === id);
  }

  /** Saves a message on the device, if that is possible. */
  private async save(e: Entry) {
    const stored: StoredMessage = {
      id: e.id,
      order: e.order,
      conversation: e.conversation,
      body: e.body,
      replyTo: e.replyTo,
      at: e.at,
      failed: e.state === "failed" ? (e.code ?? "failed") : undefined,
    };
    try {
      await this.storage.save(stored);
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

  private pauseConversation(conversation: string, ms: number) {
    if (this.retryTimers.has(conversation)) return;
    this.retryTimers.set(
      conversation,
      setTimeout(() => {
        this.retryTimers.delete(conversation);
        this.flush();
      }, ms),
    );
  }

  private flush() {
    if (!this.isConnected) return;
    let inFlight = this.entries.filter((e) => e.sent && e.state === "sending").length;
    const blocked = new Set(this.retryTimers.keys());
    for (const e of this.entries) {
      if (inFlight >= this.inFlightLimit) return;
      if (e.sent || e.state === "failed" || blocked.has(e.conversation)) continue;
      const frame: ClientFrame = { t: "send", id: e.id, conversation: e.conversation, body: e.body };
      if (e.replyTo) frame.reply_to = e.replyTo;
      if (!this.send(frame)) return;
      e.sent = true;
      e.owed = false;
      e.attempted = true;
      inFlight++;
    }
  }

  private publish() {
    this.onChange(
      this.entries.map(({ id, conversation, body, replyTo, at, state, code }) => ({
        id,
        conversation,
        body,
        replyTo,
        at,
        state,
        code,
      })),
    );
  }
}
