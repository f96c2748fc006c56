import type { ClientFrame, Message, Summary } from "../protocol/types";
import { Timers } from "../sync/timers";
import type { AppStore } from "./app";

/** How long marks are collected before they are sent. */
const batchDelay = 300;
/** How many are sent at once, and how long the next ones wait then: the server
 * takes 50 frames a second from a connection. */
const batchSize = 30;
const batchPause = 1000;

type Marks = { read: number; received: number };
const none: Marks = { read: 0, received: 0 };

const isWithin = (a: Marks, b: Marks) => a.read <= b.read && a.received <= b.received;
const join = (a: Marks, b: Marks): Marks => ({
  read: Math.max(a.read, b.read),
  received: Math.max(a.received, b.received),
});

/** MarkSender reports to the server what was read and received. Marks are not
 * answered: what the server does not know by its next list is told again. */
export class MarkSender {
  /** By conversation, what is to be told. */
  private readonly pending = new Map<string, Marks>();
  /** By conversation, what was told on this connection. */
  private readonly told = new Map<string, Marks>();
  private scheduled = false;
  private readonly timers = new Timers();

  constructor(
    private readonly store: AppStore,
    private readonly send: (frame: ClientFrame) => boolean,
  ) {}

  stop() {
    this.timers.clear();
  }

  /** The user has seen the messages up to seq. */
  markRead(conversation: string, seq: number) {
    const { conversations, localReadMarks: readHere } = this.store.getState();
    const c = conversations[conversation];
    if (!c || seq <= Math.max(readHere[conversation] ?? 0, c.read)) return;
    this.store.setState({ localReadMarks: { ...readHere, [conversation]: seq } });
    this.add(conversation, { read: seq, received: 0 });
  }

  /** A message has arrived; that is reported for direct conversations only. */
  markReceived(m: Message) {
    if (this.store.getState().conversations[m.conversation]?.kind === "direct")
      this.add(m.conversation, { read: 0, received: m.seq });
  }

  /** A connection is open: what could not be sent without one is. */
  connected() {
    this.told.clear();
    this.flush();
  }

  /** The person looks elsewhere: perhaps the page is gone in a moment. */
  leave() {
    this.flush();
  }

  /** The list of conversations is complete: what the server does not know of them
   * is told again, and what has come with it is told as received. */
  listed() {
    const { conversations, localReadMarks } = this.store.getState();
    for (const c of Object.values(conversations)) {
      const told = this.told.get(c.id);
      if (told) this.told.set(c.id, { ...told, read: Math.min(told.read, c.read) });
      this.add(c.id, unknownToServer(c, localReadMarks[c.id] ?? 0));
    }
  }

  private add(conversation: string, marks: Marks) {
    if (isWithin(marks, this.told.get(conversation) ?? none)) return;
    this.pending.set(conversation, join(marks, this.pending.get(conversation) ?? none));
    this.schedule(batchDelay);
  }

  private schedule(delay: number) {
    if (this.scheduled) return;
    this.scheduled = true;
    this.timers.after(delay, () => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush() {
    const { conversations } = this.store.getState();
    let sent = 0;
    for (const [id, marks] of this.pending) {
      // The user is no longer in it, or the server's history has gone back.
      if (!conversations[id]) {
        this.pending.delete(id);
        continue;
      }
      if (sent === batchSize) return this.schedule(batchPause);
      if (!this.send({ t: "mark", conversation: id, ...marks })) return;
      this.pending.delete(id);
      this.told.set(id, join(marks, this.told.get(id) ?? none));
      sent++;
    }
  }
}

/** Returns the marks of a conversation that may not have reached the server. */
function unknownToServer(c: Summary, readHere: number): Marks {
  return {
    read: readHere > c.read ? readHere : 0,
    // What is read or answered has been received.
    received: c.kind === "direct" && c.unread > 0 ? c.seq : 0,
  };
}
