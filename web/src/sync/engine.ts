// Keeps what the page knows right. Frames are applied in the order of their
// rev; whatever is missing is asked for (G4): after a gap, after a resync, on a
// new connection, and when the server's head is beyond ours.
import type {
  Changes,
  ClientFrame,
  ConversationFrame,
  Message,
  MessageFrame,
  ServerFrame,
  Summary,
  Synced,
} from "../protocol/types";
import type { Outbox } from "./outbox";
import type { SyncState, SyncStore } from "./store";
import { upsert } from "./timeline";

/** How long a frame that is too early may wait for the one before it. */
const patience = 300;
/** How long frames may be under way when a head is compared. */
const headPatience = 1000;
const typingLasts = 6000;

export class Engine {
  private cursor = "";
  private running = false;
  private again = false;
  private requests = 0;
  private answers = new Map<string, (frame: ServerFrame) => void>();
  private early = new Map<string, MessageFrame[]>();
  private timers = new Set<ReturnType<typeof setTimeout>>();
  /** Called for each message of others that arrives live. */
  onMessage: (m: Message) => void = () => {};

  constructor(
    private readonly store: SyncStore,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly outbox: Pick<Outbox, "accepted" | "rejected" | "failed" | "stored" | "dropConversation">,
    private readonly fetchSummary: (id: string) => Promise<Summary>,
  ) {}

  stop() {
    for (const t of this.timers) clearTimeout(t);
    this.timers.clear();
    this.closed();
  }

  /** A connection is there. */
  opened() {
    this.catchUp();
  }

  /** The connection is gone, and with it every answer that was waited for. */
  closed() {
    for (const answer of this.answers.values()) answer({ t: "error", code: "unavailable", text: "" });
    this.answers.clear();
    this.running = false;
    this.again = false;
  }

  frame(f: ServerFrame) {
    switch (f.t) {
      case "accepted":
        return this.outbox.accepted(f.id);
      case "rejected":
        return this.outbox.rejected(f);
      case "failed":
        return this.outbox.failed(f.id, f.code);
      case "message":
      case "edited":
      case "deleted":
        return this.changed(f);
      case "conversation":
        return this.conversation(f);
      case "removed":
        return this.gone(f.conversation);
      case "mark":
        return this.mark(f);
      case "typing":
        return this.typing(f.conversation, f.user);
      case "presence":
        return this.presence(f);
      case "resync":
        return this.catchUp();
      case "pong":
        return this.head(f);
      case "synced":
      case "changes":
      case "error": {
        const id = f.id ?? "";
        const answer = this.answers.get(id);
        this.answers.delete(id);
        answer?.(f);
      }
    }
  }

  private after(ms: number, f: () => void) {
    const t = setTimeout(() => {
      this.timers.delete(t);
      f();
    }, ms);
    this.timers.add(t);
  }

  private get state() {
    return this.store.getState();
  }

  private setConversation(c: Summary) {
    this.store.setState((s) => ({ conversations: { ...s.conversations, [c.id]: c } }));
  }

  // Messages

  private changed(f: MessageFrame) {
    this.outbox.stored(f.client_id);
    const c = this.state.conversations[f.conversation];
    if (!c) return this.catchUp(); // one joined, and its news has not come
    if (f.rev <= c.rev) return; // known already
    if (f.rev > c.rev + 1) {
      const waiting = this.early.get(f.conversation) ?? [];
      waiting.push(f);
      this.early.set(f.conversation, waiting);
      this.after(patience, () => {
        if ((this.state.conversations[f.conversation]?.rev ?? Infinity) < f.rev) this.catchUp();
      });
      return;
    }
    this.apply(f, c);
    if (f.t === "message" && f.sender !== this.state.me?.id) this.onMessage(f);
    this.applyEarly(f.conversation);
  }

  /** Applies frames that were too early and are due now. */
  private applyEarly(id: string) {
    const waiting = this.early.get(id);
    if (!waiting) return;
    this.early.delete(id);
    waiting.sort((a, b) => a.rev - b.rev);
    for (const f of waiting) this.changed(f);
  }

  /** Applies a change that follows what is known. */
  private apply(m: Message, c: Summary) {
    const mine = m.sender === this.state.me?.id;
    const next = { ...c, rev: Math.max(c.rev, m.rev) };
    if (m.seq > c.seq) {
      next.seq = m.seq;
      next.active_at = m.at;
      next.last = m;
      next.unread = mine ? 0 : c.unread + 1;
    } else if (c.last?.seq === m.seq) next.last = m;
    this.store.setState((s) => {
      const timeline = s.timelines[m.conversation];
      const typing = { ...s.typing[m.conversation] };
      delete typing[m.sender];
      return {
        conversations: { ...s.conversations, [c.id]: next },
        timelines: timeline ? { ...s.timelines, [m.conversation]: upsert(timeline, m) } : s.timelines,
        typing: { ...s.typing, [m.conversation]: typing },
      };
    });
  }

  // Conversations

  private conversation(f: ConversationFrame) {
    const id = f.conversation.id;
    const me = this.state.me?.id;
    this.store.setState((s) => {
      const users = { ...s.users };
      for (const u of [...(f.joined ?? []), ...(f.left ?? [])]) if (u.name) users[u.id] = u;
      return { users };
    });
    const c = this.state.conversations[id];
    if (!c || f.joined?.some((u) => u.id === me)) {
      void this.fetchSummary(id).then(
        (fresh) => {
          const known = this.state.conversations[id];
          if (!known || known.rev <= fresh.rev) this.setConversation(fresh);
          this.applyEarly(id);
        },
        () => {}, // gone again, or offline; the next sync tells
      );
      return;
    }
    if (f.conversation.rev <= c.rev) return;
    if (f.conversation.rev > c.rev + 1) return this.catchUp();
    // The role may have changed with the members.
    if (f.conversation.members_rev === f.conversation.rev || !f.joined) {
      void this.fetchSummary(id).then(
        (fresh) => {
          const known = this.state.conversations[id];
          if (known) this.setConversation({ ...known, role: fresh.role });
        },
        () => {},
      );
    }
    const { title, topic, rev, members_rev, members } = f.conversation;
    this.setConversation({ ...c, title, topic, rev, members_rev, members });
    this.applyEarly(id);
  }

  /** One is no longer in it: nothing of it stays. */
  private gone(id: string) {
    this.outbox.dropConversation(id);
    this.early.delete(id);
    this.store.setState((s) => {
      const without = <T>(all: Record<string, T>) => {
        const rest = { ...all };
        delete rest[id];
        return rest;
      };
      return {
        conversations: without(s.conversations),
        timelines: without(s.timelines),
        typing: without(s.typing),
        marks: without(s.marks),
        readHere: without(s.readHere),
      };
    });
  }

  private mark(f: { conversation: string; user: string; read: number; received: number }) {
    const c = this.state.conversations[f.conversation];
    if (!c) return;
    if (f.user === this.state.me?.id) {
      if (f.read <= c.read) return;
      const unread = Math.min(c.unread, Math.max(0, c.seq - f.read));
      this.setConversation({ ...c, read: f.read, unread });
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

  private typing(conversation: string, user: string) {
    const until = Date.now() + typingLasts;
    this.store.setState((s) => ({
      typing: { ...s.typing, [conversation]: { ...s.typing[conversation], [user]: until } },
    }));
    this.after(typingLasts, () =>
      this.store.setState((s) => {
        const rest = { ...s.typing[conversation] };
        if ((rest[user] ?? 0) <= Date.now()) delete rest[user];
        return { typing: { ...s.typing, [conversation]: rest } };
      }),
    );
  }

  private presence(f: { states: SyncState["presence"][string][] }) {
    this.store.setState((s) => {
      const presence = { ...s.presence };
      for (const p of f.states) presence[p.user] = p;
      return { presence };
    });
  }

  // The head check

  private head(f: { conversations: number; sum: number; checked: boolean }) {
    if (!f.checked || this.running) return;
    if (!this.behind(f)) return;
    // Pushes may be under way; only what is missing later is lost.
    this.after(headPatience, () => {
      if (this.behind(f)) this.catchUp();
    });
  }

  private behind(f: { conversations: number; sum: number }): boolean {
    const all = Object.values(this.state.conversations);
    const sum = all.reduce((n, c) => n + c.rev + c.read, 0);
    return all.length !== f.conversations || sum < f.sum;
  }

  // Sync

  private ask(frame: Extract<ClientFrame, { t: "sync" }>): Promise<ServerFrame> {
    return new Promise((resolve) => {
      const id = String(++this.requests);
      this.answers.set(id, resolve);
      if (!this.send({ ...frame, id })) {
        this.answers.delete(id);
        resolve({ t: "error", code: "unavailable", text: "" });
      }
    });
  }

  /** Asks for all that changed since the last time. */
  catchUp() {
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    void this.run().finally(() => {
      this.running = false;
      if (this.again) {
        this.again = false;
        this.catchUp();
      }
    });
  }

  private async run() {
    for (let more = true; more;) {
      const f = await this.ask({ t: "sync", id: "", cursor: this.cursor });
      if (f.t !== "synced") {
        // A cursor that the server does not know: begin anew.
        if (f.t === "error" && f.code === "invalid" && this.cursor) {
          this.cursor = "";
          continue;
        }
        return;
      }
      const page: Synced = f;
      for (const id of page.gone) this.gone(id);
      for (const c of page.conversations) await this.summary(c);
      this.cursor = page.cursor;
      more = page.more;
    }
    this.store.setState(() => ({ ready: true }));
  }

  /** Takes over a conversation as the server has it. */
  private async summary(c: Summary) {
    const known = this.state.conversations[c.id];
    if (this.state.timelines[c.id] && known && known.rev < c.rev) await this.messages(c.id, known.rev);
    if (c.last) this.outbox.stored(c.last.client_id);
    this.store.setState((s) => {
      const now = s.conversations[c.id];
      // Pushes may have come meanwhile and be ahead.
      const fresh = !now || now.rev <= c.rev ? c : { ...now, read: Math.max(now.read, c.read), role: c.role };
      const users = c.peer ? { ...s.users, [c.peer.id]: c.peer } : s.users;
      const marks = c.peer
        ? {
            ...s.marks,
            [c.id]: {
              [c.peer.id]: {
                read: c.peer_read ?? 0,
                received: Math.max(c.peer_received ?? 0, c.peer_read ?? 0),
              },
            },
          }
        : s.marks;
      return { conversations: { ...s.conversations, [c.id]: fresh }, users, marks };
    });
    this.applyEarly(c.id);
  }

  /** Brings a window of messages that is on the page up to date. */
  private async messages(id: string, rev: number) {
    for (let more = true; more;) {
      const f = await this.ask({ t: "sync", id: "", conversation: id, rev });
      if (f.t !== "changes") return;
      const page: Changes = f;
      for (const m of page.messages) this.outbox.stored(m.client_id);
      this.store.setState((s) => {
        let timeline = s.timelines[id];
        if (!timeline) return {};
        for (const m of page.messages) timeline = upsert(timeline, m);
        return { timelines: { ...s.timelines, [id]: timeline } };
      });
      rev = page.rev;
      more = page.more;
    }
  }
}
