import type { ClientFrame, Message, ServerFrame, Summary } from "../protocol/types";
import { apply } from "./apply";
import type { CopiedList } from "./copydatabase";
import type { Outbox } from "./outbox";
import type { SyncState, SyncStore } from "./store";
import { unreadAfter } from "./summary";
import { Machine, type Applied, type Output } from "./syncstate";
import { Timers } from "./timers";

/** How long a typing indicator is shown. */
const typingTimeout = 6000;

/** SyncClient keeps a store in step with the server. What has been seen and what is
 * to be requested is decided by a Machine; the client gives it frames and time,
 * applies what it hands out to the store, and sends what it asks. */
export class SyncClient {
  private readonly machine = new Machine();
  private isConnected = false;
  private readonly timers = new Timers();
  /** Calls the machine when it has something to send. */
  private tick: ReturnType<typeof setTimeout> | undefined;
  /** Called for each message of others that arrives live. */
  onMessage: (m: Message) => void = () => {};
  /** Called for each message of others that arrives, live or later. */
  onReceived: (m: Message) => void = () => {};
  /** Called when the list of conversations is complete, on each connection. */
  onListed: () => void = () => {};
  /** Called with what the store is changed by. */
  onApplied: (all: Applied[]) => void = () => {};

  constructor(
    private readonly store: SyncStore,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly outbox: Pick<
      Outbox,
      "accepted" | "rejected" | "failed" | "stored" | "removeConversation"
    >,
  ) {}

  stop() {
    this.timers.clear();
    this.disconnected();
  }

  /** Shows what the device has kept, until there is a connection. */
  restore({ epoch, conversations }: CopiedList) {
    if (this.machine.hasBegun) return;
    this.machine.restored(
      epoch,
      conversations.map((c) => c.summary),
    );
    const summaries: SyncState["conversations"] = {};
    const marks: SyncState["marks"] = {};
    const readHere: SyncState["localReadMarks"] = {};
    for (const c of conversations) {
      summaries[c.summary.id] = c.summary;
      if (c.marks) marks[c.summary.id] = c.marks;
      if (c.readHere) readHere[c.summary.id] = c.readHere;
    }
    this.store.setState(() => ({ conversations: summaries, marks, localReadMarks: readHere }));
  }

  /** A connection is open, in an epoch of the server. */
  connected(epoch: string) {
    this.isConnected = true;
    this.follow(this.machine.connected(now(), this.state.me?.id ?? "", epoch));
  }

  /** The connection is lost, and with it every answer that is still due. */
  disconnected() {
    this.isConnected = false;
    clearTimeout(this.tick);
  }

  /** A position up to which everything is in the store, for pings; see Machine. */
  get cursor(): string {
    return this.machine.cursor;
  }

  handleFrame(f: ServerFrame) {
    switch (f.t) {
      case "accepted":
        return this.outbox.accepted(f.id, (c) => !this.state.ready || c in this.state.conversations);
      case "rejected":
        return this.outbox.rejected(f);
      case "failed":
        return this.outbox.failed(f.id, f.code, f.digest);
      case "mark":
        return this.handleMark(f);
      case "typing":
        return this.handleTyping(f.conversation, f.user);
      case "presence":
        return this.handlePresence(f);
      case "message":
      case "edited":
      case "deleted":
        this.noteStored(f);
        break;
      case "synced":
        // Absent where the server is of an earlier version.
        for (const x of f.failed ?? []) this.outbox.failed(x.id, x.code, x.digest);
        break;
      case "conversation": {
        const named = [...(f.joined ?? []), ...(f.left ?? [])].filter((u) => u.name);
        if (named.length > 0)
          this.store.setState((s) => ({
            users: { ...s.users, ...Object.fromEntries(named.map((u) => [u.id, u])) },
          }));
      }
    }
    this.follow(this.machine.handle(now(), f));
    if (f.t === "synced" && !f.more) this.onListed();
  }

  /** The server has told the summary of a conversation in answer to something else
   * than a sync, and the user has not been removed from it since. */
  described(c: Summary) {
    this.follow(this.machine.described(now(), c));
  }

  /** The store has a timeline for a conversation, or another part of it. */
  timelineLoaded(id: string) {
    const t = this.state.timelines[id];
    if (!t) return;
    // What the outbox knows no answer of may be old.
    for (const m of t.messages) this.noteStored(m);
    this.follow(this.machine.loaded(now(), id, t.rev));
  }

  private get state() {
    return this.store.getState();
  }

  /** Does what the machine wants, and calls it again when it wants that. What is applied
   * together changes the store once: whatever watches it looks once, too. */
  private follow({ apply: all, send }: Output) {
    for (const a of all) this.tellOutbox(a);
    const becomesReady = this.machine.complete && !this.state.ready;
    if (all.length > 0 || becomesReady)
      this.store.setState((s) => ({ ...apply(s, all), ...(becomesReady && { ready: true }) }));
    if (all.length > 0) this.onApplied(all);
    for (const a of all) this.tellReceivers(a);
    for (const f of send) this.send(f);
    clearTimeout(this.tick);
    const { due } = this.machine;
    if (!this.isConnected || due === undefined) return;
    this.tick = setTimeout(() => this.follow(this.machine.tick(now())), Math.max(0, due - now()));
  }

  /** Others may have chosen the same client id. */
  private noteStored(m: { sender: string; client_id: string }) {
    if (m.sender === this.state.me?.id) this.outbox.stored(m.client_id);
  }

  /** Tells the outbox what it waits for, before the store has it. */
  private tellOutbox(a: Applied) {
    if (a.t === "removed") this.outbox.removeConversation(a.conversation);
    if (a.t === "summary" && a.summary.last) this.noteStored(a.summary.last);
    if (a.t === "changes") for (const m of a.messages) this.noteStored(m);
  }

  private tellReceivers(a: Applied) {
    const isOfOthers = (m: Message) => m.sender !== this.state.me?.id;
    if (a.t === "changes") for (const m of a.messages.filter(isOfOthers)) this.onReceived(m);
    if (a.t === "pushed" && a.frame.t === "message" && isOfOthers(a.frame)) {
      this.onReceived(a.frame);
      this.onMessage(a.frame);
    }
  }

  private handleMark(f: { conversation: string; user: string; read: number; received: number }) {
    const c = this.state.conversations[f.conversation];
    if (!c) return;
    if (f.user === this.state.me?.id) {
      if (f.read <= c.read) return;
      const marked = { ...c, read: f.read, unread: unreadAfter(c, f.read) };
      this.store.setState((s) => ({ conversations: { ...s.conversations, [c.id]: marked } }));
      return;
    }
    this.store.setState((s) => {
      const old = s.marks[f.conversation]?.[f.user];
      const mark = {
        read: Math.max(f.read, old?.read ?? 0),
        received: Math.max(f.received, f.read, old?.received ?? 0),
      };
      return { marks: { ...s.marks, [f.conversation]: { ...s.marks[f.conversation], [f.user]: mark } } };
    });
  }

  private handleTyping(conversation: string, user: string) {
    const until = Date.now() + typingTimeout;
    this.store.setState((s) => ({
      typing: { ...s.typing, [conversation]: { ...s.typing[conversation], [user]: until } },
    }));
    this.timers.after(typingTimeout, () =>
      this.store.setState((s) => {
        const rest = { ...s.typing[conversation] };
        if ((rest[user] ?? 0) <= Date.now()) delete rest[user];
        return { typing: { ...s.typing, [conversation]: rest } };
      }),
    );
  }

  private handlePresence(f: { states: SyncState["presence"][string][] }) {
    this.store.setState((s) => {
      const presence = { ...s.presence };
      for (const p of f.states) presence[p.user] = p;
      return { presence };
    });
  }
}

/** A time that goes on evenly, whatever happens to the device's clock. */
function now(): number {
  return performance.now();
}
