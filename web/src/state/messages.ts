import { v7 } from "uuid";
import type { RestClient } from "../net/rest";
import type { ClientFrame, Message } from "../protocol/types";
import type { Draft, Drafts } from "../sync/drafts";
import type { Outbox } from "../sync/outbox";
import type { ServerClock } from "../sync/serverclock";

/** A typing notification is sent at most once in this time. */
const typingInterval = 3000;

function newId(now: number): string {
  return v7({ msecs: Math.round(now) });
}

/** Messages sends, edits and deletes messages, and keeps drafts. */
export class Messages {
  private typingSentAt = -Infinity;

  constructor(
    private readonly rest: RestClient,
    private readonly outbox: Pick<Outbox, "add" | "retry" | "remove">,
    private readonly drafts: Drafts,
    private readonly clock: ServerClock,
    private readonly sendFrame: (frame: ClientFrame) => boolean,
  ) {}

  send(conversation: string, body: string, replyTo: number) {
    // The id has the server's time, so that a device whose clock is wrong
    // names its messages like any other.
    const now = this.clock.now();
    void this.outbox.add(newId(now), conversation, body, replyTo, now);
  }
  retry(id: string) {
    this.outbox.retry(id, newId(this.clock.now()));
  }
  discard(id: string) {
    this.outbox.remove(id);
  }

  edit(conversation: string, seq: number, body: string) {
    return this.rest.patch<Message>(`/conversations/${conversation}/messages/${seq}`, { body });
  }
  delete(m: Message) {
    return this.rest.delete<Message>(`/conversations/${m.conversation}/messages/${m.seq}`);
  }

  /** Changes a part of a conversation's draft. */
  changeDraft(conversation: string, change: Partial<Draft>) {
    this.drafts.save(conversation, { ...this.drafts.get(conversation), ...change });
  }

  notifyTyping(conversation: string) {
    const now = Date.now();
    if (now - this.typingSentAt < typingInterval) return;
    this.typingSentAt = now;
    this.sendFrame({ t: "typing", conversation });
  }
}
