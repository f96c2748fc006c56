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
import { advance, catchUp } from "./changelog";
import { mergeRole, mergeSummary, unreadAfter } from "./summary";
import { applyChanges } from "./timeline";
import { Timers } from "./timers";

/** How long an out-of-order frame waits for the frames before it. */
const reorderTimeout = 300;
/** How long frames may be in flight when heads are compared. */
const headCheckDelay = 1000;
/** How long a typing indicator is shown. */
const typingTimeout = 6000;

/** SyncClient keeps a store in step with the server. It applies frames in the
 * order of their rev, and requests what is missing (G4): after a gap, after a
 * resync, on a new connection, and when the server's head is beyond the store's. */
export class SyncClient {
  private cursor = "";
  private syncing = false;
  /** Whether another sync was requested while one was running. */
  private syncAgain = false;
  private lastRequest = 0;
  private readonly pendingRequests = new Map<string, (frame: ServerFrame) => void>();
  /** By conversation, frames that wait for those before them. */
  private readonly outOfOrder = new Map<string, MessageFrame[]>();
  private readonly timers = new Timers();
  /** Called for each message of others that arrives live. */
  onMessage: (m: Message) => void = () => {};

  constructor(
    private readonly store: SyncStore,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly outbox: Pick<
      Outbox,
      "accepted" | "rejected" | "failed" | "stored" | "removeConversation"
    >,
    private readonly fetchConversation: (id: string) => Promise<Summary>,
  ) {}

  stop() {
    this.timers.clear();
    this.disconnected();
  }

  /** A connection is open. */
  connected() {
    this.sync();
  }

  /** The connection is lost, and with it every response that is still due. */
  disconnected() {
    for (const resolve of this.pendingRequests.values())
      resolve({ t: "error", code: "unavailable", text: "" });
    this.pendingRequests.clear();
    this.syncing = false;
    this.syncAgain = false;
  }

  handleFrame(f: ServerFrame) {
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
        return this.handleMessage(f);
      case "conversation":
        return this.handleConversation(f);
      case "removed":
        return this.removeConversation(f.conversation);
      case "mark":
        return this.handleMark(f);
      case "typing":
        return this.handleTyping(f.conversation, f.user);
      case "presence":
        return this.handlePresence(f);
      case "resync":
        return this.sync();
      case "pong":
        return this.checkHead(f);
      case "synced":
      case "changes":
      case "error": {
        const id = f.id ?? "";
        const resolve = this.pendingRequests.get(id);
        this.pendingRequests.delete(id);
        resolve?.(f);
      }
    }
  }

  private get state() {
    return this.store.getState();
  }

  private setConversation(c: Summary) {
    this.store.setState((s) => ({ conversations: { ...s.conversations, [c.id]: c } }));
  }

  // Messages

  private handleMessage(f: MessageFrame) {
    this.outbox.stored(f.client_id);
    const c = this.state.conversations[f.conversation];
    if (!c) return this.sync(); // the user has joined, and the conversation frame has not come yet
    if (f.rev <= c.rev) return; // applied already
    if (f.rev > c.rev + 1) {
      const waiting = this.outOfOrder.get(f.conversation) ?? [];
      waiting.push(f);
      this.outOfOrder.set(f.conversation, waiting);
      this.timers.after(reorderTimeout, () => {
        if ((this.state.conversations[f.conversation]?.rev ?? Infinity) < f.rev) this.sync();
      });
      return;
    }
    this.applyMessage(f, c);
    if (f.t === "message" && f.sender !== this.state.me?.id) this.onMessage(f);
    this.applyOutOfOrder(f.conversation);
  }

  /** Applies the frames that waited for those before them. */
  private applyOutOfOrder(id: string) {
    const waiting = this.outOfOrder.get(id);
    if (!waiting) return;
    this.outOfOrder.delete(id);
    waiting.sort((a, b) => a.rev - b.rev);
    for (const f of waiting) this.handleMessage(f);
  }

  /** Applies a frame whose rev is the next one. */
  private applyMessage(m: Message, c: Summary) {
    const mine = m.sender === this.state.me?.id;
    const next = { ...c, rev: Math.max(c.rev, m.rev) };
    if (m.seq > c.seq) {
      next.seq = m.seq;
      next.active_at = m.at;
      next.last = m;
      next.unread = mine ? 0 : c.unread + 1;
    } else if (c.last?.seq === m.seq) next.last = m;
    this.store.setState((s) => {
      const typing = { ...s.typing[m.conversation] };
      delete typing[m.sender];
      return {
        conversations: { ...s.conversations, [c.id]: next },
        ...advance(s, c.id, { before: c.rev, rev: next.rev, message: m }),
        typing: { ...s.typing, [m.conversation]: typing },
      };
    });
  }

  // Conversations

  private handleConversation(f: ConversationFrame) {
    const id = f.conversation.id;
    const me = this.state.me?.id;
    this.store.setState((s) => {
      const users = { ...s.users };
      for (const u of [...(f.joined ?? []), ...(f.left ?? [])]) if (u.name) users[u.id] = u;
      return { users };
    });
    const c = this.state.conversations[id];
    if (!c || f.joined?.some((u) => u.id === me)) {
      const removals = this.state.removals[id];
      void this.fetchConversation(id).then(
        (fetched) => {
          if (this.state.removals[id] !== removals) return;
          this.setConversation(mergeSummary(this.state.conversations[id], fetched));
          this.applyOutOfOrder(id);
        },
        () => {}, // removed again, or offline: the next sync finds out
      );
      return;
    }
    if (f.conversation.rev <= c.rev) return;
    if (f.conversation.rev > c.rev + 1) return this.sync();
    // The role may have changed with the members.
    if (f.conversation.members_rev === f.conversation.rev || !f.joined) {
      void this.fetchConversation(id).then(
        (fetched) => {
          const stored = this.state.conversations[id];
          if (stored) this.setConversation({ ...stored, role: mergeRole(stored, fetched) });
        },
        () => {},
      );
    }
    const { title, topic, rev, members_rev, members } = f.conversation;
    this.store.setState((s) => ({
      conversations: { ...s.conversations, [id]: { ...c, title, topic, rev, members_rev, members } },
      ...advance(s, id, { before: c.rev, rev }),
    }));
    this.applyOutOfOrder(id);
  }

  /** Deletes everything of a conversation that the user is no longer in. */
  private removeConversation(id: string) {
    this.outbox.removeConversation(id);
    this.outOfOrder.delete(id);
    this.store.setState((s) => {
      const without = <T>(all: Record<string, T>) => {
        const rest = { ...all };
        delete rest[id];
        return rest;
      };
      return {
        conversations: without(s.conversations),
        timelines: without(s.timelines),
        changeLogs: without(s.changeLogs),
        removals: { ...s.removals, [id]: (s.removals[id] ?? 0) + 1 },
        typing: without(s.typing),
        marks: without(s.marks),
        localReadMarks: without(s.localReadMarks),
      };
    });
  }

  private handleMark(f: { conversation: string; user: string; read: number; received: number }) {
    const c = this.state.conversations[f.conversation];
    if (!c) return;
    if (f.user === this.state.me?.id) {
      if (f.read <= c.read) return;
      this.setConversation({ ...c, read: f.read, unread: unreadAfter(c, f.read) });
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

  /** Compares the server's head with the store's: a lost push leaves the store behind. */
  private checkHead(f: { conversations: number; sum: number; checked: boolean }) {
    if (!f.checked || this.syncing) return;
    if (!this.isBehind(f)) return;
    // Pushes may be in flight; what is still missing later is lost.
    this.timers.after(headCheckDelay, () => {
      if (this.isBehind(f)) this.sync();
    });
  }

  private isBehind(f: { conversations: number; sum: number }): boolean {
    const all = Object.values(this.state.conversations);
    const sum = all.reduce((n, c) => n + c.rev + c.read, 0);
    return all.length !== f.conversations || sum < f.sum;
  }

  // Sync

  private request(frame: Extract<ClientFrame, { t: "sync" }>): Promise<ServerFrame> {
    return new Promise((resolve) => {
      const id = String(++this.lastRequest);
      this.pendingRequests.set(id, resolve);
      if (!this.send({ ...frame, id })) {
        this.pendingRequests.delete(id);
        resolve({ t: "error", code: "unavailable", text: "" });
      }
    });
  }

  /** Requests all that has changed since the last sync. */
  sync() {
    if (this.syncing) {
      this.syncAgain = true;
      return;
    }
    this.syncing = true;
    void this.syncConversations().finally(() => {
      this.syncing = false;
      if (this.syncAgain) {
        this.syncAgain = false;
        this.sync();
      }
    });
  }

  private async syncConversations() {
    for (let more = true; more;) {
      const f = await this.request({ t: "sync", id: "", cursor: this.cursor });
      if (f.t !== "synced") {
        // The server does not know the cursor: start over.
        if (f.t === "error" && f.code === "invalid" && this.cursor) {
          this.cursor = "";
          continue;
        }
        return;
      }
      const page: Synced = f;
      for (const id of page.gone) this.removeConversation(id);
      for (const c of page.conversations) await this.applySummary(c);
      this.cursor = page.cursor;
      more = page.more;
    }
    this.store.setState(() => ({ ready: true }));
  }

  /** Stores a conversation as the server has it, with the messages that its timeline lacks. */
  private async applySummary(c: Summary) {
    const stored = this.state.conversations[c.id];
    if (this.state.timelines[c.id] && stored && stored.rev < c.rev)
      await this.syncMessages(c.id, stored.rev, c.rev);
    if (c.last) this.outbox.stored(c.last.client_id);
    this.store.setState((s) => {
      const latest = mergeSummary(s.conversations[c.id], c);
      const users = c.peer ? { ...s.users, [c.peer.id]: c.peer } : s.users;
      const mark = c.peer && s.marks[c.id]?.[c.peer.id];
      const marks = c.peer
        ? {
            ...s.marks,
            [c.id]: {
              [c.peer.id]: {
                read: Math.max(c.peer_read ?? 0, mark?.read ?? 0),
                received: Math.max(c.peer_received ?? 0, c.peer_read ?? 0, mark?.received ?? 0),
              },
            },
          }
        : s.marks;
      return { conversations: { ...s.conversations, [c.id]: latest }, users, marks };
    });
    this.applyOutOfOrder(c.id);
  }

  /** Brings a loaded timeline up to date with a head that the server had. */
  private async syncMessages(id: string, rev: number, head: number) {
    for (let more = true; more;) {
      const page = await this.syncChanges(id, rev, head);
      if (!page) return;
      rev = page.rev;
      more = page.more;
    }
  }

  /** Applies a page of the changes after rev to a loaded timeline, and returns
   * it: nothing without an answer. The server has had head already. */
  async syncChanges(id: string, since: number, head: number): Promise<Changes | undefined> {
    const page = await this.request({ t: "sync", id: "", conversation: id, rev: since });
    if (page.t !== "changes") return undefined;
    for (const m of page.messages) this.outbox.stored(m.client_id);
    // The last change need not be one of a message.
    const rev = page.more ? page.rev : Math.max(page.rev, head);
    this.store.setState((s) => {
      const timeline = s.timelines[id];
      if (!timeline) return {};
      const changed = catchUp(applyChanges(timeline, since, page.messages, rev), s.changeLogs[id]);
      return { timelines: { ...s.timelines, [id]: changed } };
    });
    return page;
  }
}
