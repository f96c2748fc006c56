// Messages on their way out. Each is kept before it is sent, sent in the order
// of writing within its conversation, and let go when it comes back stored.
// Sending one twice is harmless: the server knows it by its id.
import type { ClientFrame, Rejected } from "../protocol/types";
import type { Storage, StoredMessage } from "./storage";

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

type Entry = OutboxMessage & { order: number; sent: boolean };

export class Outbox {
  private entries: Entry[] = [];
  private paused = new Map<string, ReturnType<typeof setTimeout>>();
  private connected = false;
  private window = 1;
  private order = 0;

  constructor(
    private readonly storage: Pick<Storage, "outbox" | "keep" | "forget">,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly changed: (messages: OutboxMessage[]) => void,
  ) {}

  /** Takes up what an earlier page left. */
  async load() {
    const stored = await this.storage.outbox();
    const known = new Set(this.entries.map((e) => e.id));
    const earlier: Entry[] = stored
      .filter((s) => !known.has(s.id))
      .map((s) => ({ ...s, state: s.failed ? "failed" : "sending", code: s.failed, sent: false }));
    this.entries = [...earlier, ...this.entries];
    this.order = Math.max(this.order, ...stored.map((s) => s.order), 0);
    this.tell();
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
      sent: false,
    };
    this.entries.push(entry);
    this.tell();
    await this.keep(entry);
    this.flush();
  }

  /** A connection is there: all without a final answer goes out again. */
  open(window: number) {
    this.connected = true;
    this.window = window;
    for (const timer of this.paused.values()) clearTimeout(timer);
    this.paused.clear();
    for (const e of this.entries) e.sent = false;
    this.flush();
  }

  closed() {
    this.connected = false;
  }

  accepted(id: string) {
    const e = this.find(id);
    if (!e || e.state === "failed") return;
    e.state = "accepted";
    this.tell();
    this.flush();
  }

  rejected(frame: Pick<Rejected, "id" | "code" | "retry_after_ms">) {
    const e = this.find(frame.id);
    if (!e) return;
    if (!frame.retry_after_ms) {
      this.failed(frame.id, frame.code);
      return;
    }
    e.sent = false;
    this.pause(e.conversation, frame.retry_after_ms);
  }

  failed(id: string, code: string) {
    const e = this.find(id);
    if (!e) return;
    e.state = "failed";
    e.code = code;
    void this.keep(e);
    this.tell();
    this.flush();
  }

  /** The message came back from the server, or was found in the history. */
  stored(id: string) {
    if (this.find(id)) this.remove(id);
  }

  retry(id: string) {
    const e = this.find(id);
    if (!e) return;
    e.state = "sending";
    e.code = undefined;
    e.sent = false;
    void this.keep(e);
    this.tell();
    this.flush();
  }

  remove(id: string) {
    this.entries = this.entries.filter((e) => e.id !== id);
    void this.storage.forget(id);
    this.tell();
    this.flush();
  }

  /** Everything of a conversation that one is no longer in. */
  dropConversation(conversation: string) {
    for (const e of this.entries.filter((x) => x.conversation === conversation)) this.remove(e.id);
  }

  stop() {
    for (const timer of this.paused.values()) clearTimeout(timer);
    this.connected = false;
  }

  private find(id: string) {
    return this.entries.find((e) => e.id === id);
  }

  private async keep(e: Entry) {
    const stored: StoredMessage = {
      id: e.id,
      order: e.order,
      conversation: e.conversation,
      body: e.body,
      replyTo: e.replyTo,
      at: e.at,
      failed: e.state === "failed" ? (e.code ?? "failed") : undefined,
    };
    await this.storage.keep(stored);
    // It may have come back while it was being written down.
    if (!this.find(e.id)) await this.storage.forget(e.id);
  }

  private pause(conversation: string, ms: number) {
    if (this.paused.has(conversation)) return;
    this.paused.set(
      conversation,
      setTimeout(() => {
        this.paused.delete(conversation);
        this.flush();
      }, ms),
    );
  }

  private flush() {
    if (!this.connected) return;
    let inFlight = this.entries.filter((e) => e.sent && e.state === "sending").length;
    const blocked = new Set(this.paused.keys());
    for (const e of this.entries) {
      if (inFlight >= this.window) return;
      if (e.sent || e.state === "failed" || blocked.has(e.conversation)) continue;
      const frame: ClientFrame = { t: "send", id: e.id, conversation: e.conversation, body: e.body };
      if (e.replyTo) frame.reply_to = e.replyTo;
      if (!this.send(frame)) return;
      e.sent = true;
      inFlight++;
    }
  }

  private tell() {
    this.changed(
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
