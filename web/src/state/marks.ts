import type { ClientFrame, Message } from "../protocol/types";
import { Timers } from "../sync/timers";
import type { AppStore } from "./app";

/** How long marks are collected before they are sent. */
const batchDelay = 300;

/** MarkSender reports to the server what was read and received. */
export class MarkSender {
  private pending = new Map<string, { read: number; received: number }>();
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
    this.add(conversation, seq, 0);
  }

  /** A message has arrived; that is reported for direct conversations only. */
  markReceived(m: Message) {
    if (this.store.getState().conversations[m.conversation]?.kind === "direct")
      this.add(m.conversation, 0, m.seq);
  }

  private add(conversation: string, read: number, received: number) {
    const earlier = this.pending.get(conversation) ?? { read: 0, received: 0 };
    this.pending.set(conversation, {
      read: Math.max(earlier.read, read),
      received: Math.max(earlier.received, received),
    });
    if (this.scheduled) return;
    this.scheduled = true;
    this.timers.after(batchDelay, () => {
      this.scheduled = false;
      for (const [id, m] of this.pending)
        if (this.send({ t: "mark", conversation: id, ...m })) this.pending.delete(id);
    });
  }
}
