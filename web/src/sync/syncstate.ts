/** Decides what a page has seen and what it must request (G4). It is a state machine
 * and nothing else: frames and times go in, frames to send and what to apply come
 * out. It has no socket, no store and no timer. Its twin in Go is
 * internal/syncclient/syncstate, which tells the rules; both go by the same traces.
 *
 * The changes of a conversation carry rev 1, 2, 3 …; the machine hands out each
 * once it is the next one. A pushed change that is not is kept until it is, and
 * what is missing before it is requested.
 *
 * What a page holds of a conversation is of two revs. Its summary is of one: pushes
 * take it on, and the list of changed conversations brings it up to date at once.
 * Its timeline, when one is loaded, is of another: what it lacks is requested from
 * there on. So a summary may be ahead of the timeline; everything has been seen up
 * to the lower rev of the two. Requested changes are of messages alone: a change
 * that no message explains may be one of the name or of the members, and is in the
 * summary, so that the list is requested. */
import type { Changes, ClientFrame, ConversationFrame, Message, MessageFrame } from "../protocol/types";
import type { ServerFrame, Summary, Synced } from "../protocol/types";

/** How long a request may be without an answer before it is sent again, in
 * milliseconds. It doubles with each attempt, up to maxAnswerTimeout. */
const answerTimeout = 5000;
const maxAnswerTimeout = 60_000;
/** The wait before a refused request is sent again when the server names none. */
const refusedPause = 1000;
/** How long pushes may be in flight: what a list on a connection that is in sync has
 * beyond what was seen is requested only when it does not arrive by itself. */
const pushDelay = 1000;
/** How many requests for the changes of conversations may be without an answer, so
 * that the server's limits are not reached. */
const maxRequests = 16;
/** How many pushed changes of a conversation are kept that are not the next one;
 * the others come with an answer alone. */
const maxKept = 200;

type Sync = Extract<ClientFrame, { t: "sync" }>;
type Removed = Extract<ServerFrame, { t: "removed" }>;
type ErrorFrame = Extract<ServerFrame, { t: "error" }>;
type PushedChange = MessageFrame | ConversationFrame;

/** Applied is something to apply to what the page holds, in the order of the output.
 * What is not newer than the summary, or than the timeline, changes nothing there. */
export type Applied =
  /** Whatever the server has told is void. */
  | { t: "reset" }
  /** The summary as the list has it. */
  | { t: "summary"; summary: Summary }
  /** The user is no longer in the conversation. */
  | { t: "removed"; conversation: string }
  /** A change of a message or of the conversation, which was pushed just now or waited. */
  | { t: "pushed"; frame: PushedChange }
  /** A message of an answer takes the summary to the message's rev. */
  | { t: "described"; message: Message }
  /** The timeline gets what changed after since, and is of rev then. */
  | { t: "changes"; conversation: string; since: number; rev: number; messages: Message[] };

/** Output is what a frame leads to. */
export type Output = { send: Sync[]; apply: Applied[] };

/** Conversation is what the page has seen of a conversation. */
type Conversation = {
  readonly id: string;
  /** The rev of its summary. */
  summary: number;
  /** The rev of its timeline, if one is loaded. */
  timeline: number | undefined;
  /** The highest rev heard of. */
  highest: number;
  /** The catch-up that is under way or due, if any. */
  request: Request | null;
  /** Pushed changes that are not the next one, in the order of their rev. */
  kept: PushedChange[];
  /** Whether the list that began without a cursor has named it. */
  named: boolean;
};

/** Request is a sync that has no answer, or is to be sent later. */
type Request = {
  id: string;
  /** When it is sent, or sent again. */
  due: number;
  /** How often it was sent. */
  attempts: number;
  /** The rev after which changes are requested. */
  since: number;
};

/** Machine is the state of a page. It outlives connections, of which the page has
 * one at a time. Times are in milliseconds. */
export class Machine {
  /** The list of conversations was complete once. */
  complete = false;
  /** It was on this connection: what is missing may be in flight. */
  private inSync = false;
  /** The last resync says that nothing is in flight. */
  private lost = false;
  /** Another list is due after the one that is under way. */
  private listAgain = false;
  /** The list began without a cursor: conversations that it does not name are left. */
  private sweep = false;
  private lastRequest = 0;
  /** Conversations of which changes are missing. */
  private behind = 0;
  /** Requests for the changes of conversations that were sent. */
  private outstanding = 0;
  private me = "";
  /** Of the installation's history. */
  private epoch = "";
  /** All changes up to it were seen. */
  private position = "";
  /** End of the last page of the list; "" once it is the position. */
  private listed = "";
  private readonly conversations = new Map<string, Conversation>();
  /** The list that is under way, if any. */
  private list: Request | null = null;
  private apply: Applied[] = [];

  /** Begins a connection of a user in an epoch, as hello has them: forgets what the one
   * before was asked for, and asks what changed. In another epoch it begins anew: the
   * installation's history may have gone back, and what was seen says nothing any more. */
  connected(now: number, me: string, epoch: string): Output {
    if (this.epoch !== "" && this.epoch !== epoch) this.reset();
    this.epoch = epoch;
    this.me = me;
    this.list = null;
    this.listAgain = this.inSync = this.lost = false;
    this.listed = "";
    this.outstanding = 0;
    for (const c of this.conversations.values()) c.request = null;
    this.requestList(now);
    return this.output(now);
  }

  /** Before the first connection: the page shows what was kept of an epoch, with the rev
   * of each summary. The first list has everything anyway, and what it does not name is
   * gone. */
  restored(epoch: string, summaries: Pick<Summary, "id" | "rev">[]) {
    this.epoch = epoch;
    for (const { id, rev } of summaries)
      this.conversations.set(id, { ...newConversation(id), summary: rev, highest: rev });
  }

  /** Whether the page was connected, or shows what was kept. */
  get hasBegun(): boolean {
    return this.epoch !== "";
  }

  /** Takes a frame from the server. Those that say nothing of what has been seen are
   * passed over. */
  handle(now: number, f: ServerFrame): Output {
    switch (f.t) {
      case "message":
      case "edited":
      case "deleted":
        this.take(now, f.conversation, f.rev, f);
        break;
      case "conversation":
        this.take(now, f.conversation.id, f.conversation.rev, f);
        break;
      case "removed":
        this.removed(f);
        break;
      case "resync":
        this.lost = f.lost ?? false;
        this.requestList(now);
        break;
      case "synced":
        this.synced(now, f);
        break;
      case "changes":
        this.changes(now, f);
        break;
      case "error":
        this.refused(now, f);
    }
    return this.output(now);
  }

  /** The summary of a conversation came by another way than the list, such as the
   * answer to what the user did. */
  described(now: number, summary: Summary): Output {
    const c = this.describe(now, summary);
    this.catchUp(c, this.pushedBy(now));
    return this.output(now);
  }

  /** A timeline of a conversation was loaded, or has grown: it is of a rev, which may
   * be lower than before. */
  loaded(now: number, id: string, rev: number): Output {
    const c = this.conversations.get(id);
    if (c) {
      // What is under way begins too late for it.
      if (c.request && c.request.attempts > 0 && c.request.since > rev) this.dropRequest(c);
      this.advance(c, () => {
        c.timeline = rev;
        c.highest = Math.max(c.highest, rev);
      });
      this.takeKept(now, c);
      // What a timeline lacks was pushed before; what the summary lacks may be in flight.
      this.catchUp(c, lacksMessages(c) ? now : now + pushDelay);
    }
    return this.output(now);
  }

  /** Sends what is due; see due. */
  tick(now: number): Output {
    return this.output(now);
  }

  /** When tick has something to send, undefined for never. A frame may change it. */
  get due(): number | undefined {
    let due = this.list?.due;
    if (this.behind > 0)
      for (const c of this.conversations.values())
        if (c.request && (c.request.attempts > 0 || this.outstanding < maxRequests || !lacksMessages(c)))
          due = Math.min(due ?? Infinity, c.request.due);
    return due;
  }

  /** A position up to which the page has seen all changes, for its pings. It is
   * empty while a list is under way. */
  get cursor(): string {
    return this.list ? "" : this.position;
  }

  /** Whether nothing is known to be missing. */
  get whole(): boolean {
    return this.complete && !this.list && this.behind === 0;
  }

  /** Whether the page knows of a conversation. */
  has(id: string): boolean {
    return this.conversations.has(id);
  }

  /** The last change of a conversation up to which all was seen; 0 for one that is
   * unknown. */
  rev(id: string): number {
    const c = this.conversations.get(id);
    return c ? seen(c) : 0;
  }

  private reset() {
    this.complete = this.sweep = false;
    this.position = "";
    this.behind = 0;
    this.conversations.clear();
    this.apply.push({ t: "reset" });
  }

  private output(now: number): Output {
    this.moveCursor();
    const send = this.sendDue(now);
    const apply = this.apply;
    this.apply = [];
    return { send, apply };
  }

  /** Takes a change that was pushed. */
  private take(now: number, id: string, rev: number, f: PushedChange) {
    const c = this.conversations.get(id);
    if (!c) {
      this.requestList(now);
      return;
    }
    if (rev <= seen(c)) return;
    if (rev > seen(c) + 1) {
      keep(c, f);
      this.advance(c, () => (c.highest = Math.max(c.highest, rev)));
      this.catchUp(c, now);
      return;
    }
    this.next(now, c, rev, f);
    this.takeKept(now, c);
  }

  /** Hands out the next change of a conversation. */
  private next(now: number, c: Conversation, rev: number, frame: PushedChange) {
    if (rev > c.summary && frame.t === "conversation" && mayChangeRole(frame, this.me)) this.requestList(now);
    this.advance(c, () => {
      c.summary = Math.max(c.summary, rev);
      if (c.timeline !== undefined) c.timeline = Math.max(c.timeline, rev);
    });
    this.apply.push({ t: "pushed", frame });
  }

  /** Hands out the changes that were kept and have become the next ones, and those
   * that an answer has brought meanwhile: that they were pushed is news. */
  private takeKept(now: number, c: Conversation) {
    while (c.kept.length > 0 && revOf(c.kept[0]!) <= seen(c) + 1) {
      const f = c.kept.shift()!;
      this.next(now, c, revOf(f), f);
    }
  }

  /** Takes a removal, unless the user is known to have been in the conversation
   * after it: it was overtaken then. */
  private removed(f: Removed) {
    const c = this.conversations.get(f.conversation);
    if (!(c && f.rev <= c.highest)) this.remove(f.conversation);
  }

  private remove(id: string) {
    const c = this.conversations.get(id);
    if (c) {
      this.dropRequest(c);
      if (isBehind(c)) this.behind--;
      this.conversations.delete(id);
    }
    this.apply.push({ t: "removed", conversation: id });
  }

  /** Records that a conversation was seen, or heard of, up to another rev. */
  private advance(c: Conversation, change: () => void) {
    const wasBehind = isBehind(c);
    change();
    c.highest = Math.max(c.highest, c.summary, c.timeline ?? 0);
    const is = isBehind(c);
    if (is && !wasBehind) this.behind++;
    if (wasBehind && !is) {
      this.behind--;
      if (c.request?.attempts === 0) c.request = null; // it arrived by itself
    }
  }

  /** Moves the cursor to the end of the last page of the list when everything that
   * the pages named was seen. */
  private moveCursor() {
    if (this.listed !== "" && this.behind === 0) {
      this.position = this.listed;
      this.listed = "";
    }
  }

  /** When what a list has beyond what was seen is requested, unless it was pushed by then. */
  private pushedBy(now: number): number {
    return this.inSync && !this.lost ? now + pushDelay : now;
  }

  /** Takes the summary of a conversation. */
  private describe(now: number, summary: Summary): Conversation {
    const { id } = summary;
    const c: Conversation = this.conversations.get(id) ?? newConversation(id);
    this.conversations.set(id, c);
    c.named = true;
    this.advance(c, () => (c.summary = Math.max(c.summary, summary.rev)));
    this.apply.push({ t: "summary", summary });
    this.takeKept(now, c);
    return c;
  }

  /** Takes a page of the list of what changed. */
  private synced(now: number, f: Synced) {
    if (!this.list || this.list.id !== f.id) return; // a second answer to what was asked again
    this.list = null;
    this.listed = f.cursor;
    for (const id of f.gone) {
      const c = this.conversations.get(id);
      // It may have been heard of since the list was made: the user is in it again.
      if (c && isBehind(c)) this.listAgain = true;
      this.remove(id);
    }
    for (const s of f.conversations) this.describe(now, s);
    if (f.more) this.requestPage(now);
    // Everything that is behind is requested, not only what the page names: the
    // connection on which it was requested before may have been lost.
    const due = this.pushedBy(now);
    for (const c of this.conversations.values()) this.catchUp(c, due);
    if (f.more) return;
    if (this.sweep) {
      this.sweep = false;
      for (const c of [...this.conversations.values()]) if (!c.named) this.remove(c.id);
    }
    this.complete = this.inSync = true;
    if (this.listAgain) {
      this.listAgain = false;
      this.requestPage(now);
    }
  }

  /** Takes a page of what the timeline of a conversation lacks. */
  private changes(now: number, f: Changes) {
    const c = this.conversations.get(f.conversation);
    if (!c?.request || c.request.id !== f.id) return; // as above
    const { since } = c.request;
    const before = c.timeline ?? 0;
    this.dropRequest(c);
    this.apply.push({ t: "changes", conversation: c.id, since, rev: f.rev, messages: f.messages });
    this.advance(c, () => {
      if (c.timeline !== undefined) c.timeline = Math.max(c.timeline, f.rev);
      c.highest = Math.max(c.highest, f.rev);
    });
    // The messages that follow the summary's rev without a gap are what it lacks.
    for (const message of f.messages) {
      this.takeKept(now, c);
      if (message.rev !== c.summary + 1) continue;
      this.advance(c, () => (c.summary = message.rev));
      this.apply.push({ t: "described", message });
    }
    this.takeKept(now, c);
    // An answer that brings nothing is of a server that does not have it yet, such as a replica.
    this.catchUp(c, c.timeline === before && lacksMessages(c) ? now + refusedPause : now);
  }

  /** Takes the refusal of a request, which is sent again later. */
  private refused(now: number, f: ErrorFrame) {
    const due = now + Math.max(f.retry_after_ms ?? 0, refusedPause);
    if (this.list && this.list.id === f.id) {
      if (f.code === "invalid") {
        // The server does not know the cursor.
        this.position = this.listed = "";
        this.requestPage(due);
        return;
      }
      this.list.due = due;
      return;
    }
    for (const c of this.conversations.values()) {
      if (!c.request || c.request.attempts === 0 || c.request.id !== f.id) continue;
      this.dropRequest(c);
      this.catchUp(c, due);
      if (f.code === "not_found") this.requestList(now); // the user was removed
      return;
    }
  }

  /** Asks which conversations changed, after the list that is under way. */
  private requestList(now: number) {
    if (this.list) this.listAgain = true;
    else this.requestPage(now);
  }

  /** Asks for the next page of the list, or for the first one of another. */
  private requestPage(due: number) {
    if (this.position === "" && this.listed === "") {
      this.sweep = true;
      for (const c of this.conversations.values()) c.named = false;
    }
    this.list = { id: "", due, attempts: 0, since: 0 };
  }

  /** Asks for what is missing of a conversation, unless that is under way: what the
   * summary lacks is in the list. */
  private catchUp(c: Conversation, due: number) {
    if (!isBehind(c) || c.request) return;
    if (lacksMessages(c) || !this.list) c.request = { id: "", due, attempts: 0, since: 0 };
  }

  private dropRequest(c: Conversation) {
    if (c.request && c.request.attempts > 0) this.outstanding--;
    c.request = null;
  }

  /** Returns the requests that are due, and takes them as sent. */
  private sendDue(now: number): Sync[] {
    const due = this.behind > 0 ? this.dueConversations(now) : [];
    for (const c of due)
      if (!lacksMessages(c)) {
        // The list has it; or the answer did not come, and is not needed any more.
        this.dropRequest(c);
        if (isBehind(c) && !this.list) this.requestPage(now);
      }
    const send: Sync[] = [];
    if (this.list && this.list.due <= now) {
      this.sent(this.list, now);
      send.push({ t: "sync", id: this.list.id, cursor: this.listed || this.position });
    }
    for (const c of due) {
      const r = c.request;
      if (!r || (r.attempts === 0 && this.outstanding === maxRequests)) continue;
      if (r.attempts === 0) this.outstanding++;
      r.since = c.timeline ?? 0;
      this.sent(r, now);
      send.push({ t: "sync", id: r.id, conversation: c.id, rev: r.since });
    }
    return send;
  }

  /** The conversations of which a request is due, in the order of their ids. */
  private dueConversations(now: number): Conversation[] {
    const due: Conversation[] = [];
    for (const c of this.conversations.values()) if (c.request && c.request.due <= now) due.push(c);
    return due.length > 1 ? due.sort((a, b) => compareIds(a.id, b.id)) : due;
  }

  /** Records that a request is sent now. Each is named by a number, so that a late
   * answer is known as one. */
  private sent(r: Request, now: number) {
    if (r.attempts === 0) r.id = String(++this.lastRequest);
    r.due = now + Math.min(answerTimeout * 2 ** Math.min(r.attempts, 8), maxAnswerTimeout);
    r.attempts++;
  }
}

function newConversation(id: string): Conversation {
  return { id, summary: 0, timeline: undefined, highest: 0, request: null, kept: [], named: true };
}

/** The last change of a conversation up to which all was seen. */
function seen(c: Conversation): number {
  return c.timeline === undefined ? c.summary : Math.min(c.summary, c.timeline);
}

function isBehind(c: Conversation): boolean {
  return seen(c) < c.highest;
}

/** Whether the timeline of a conversation is behind, which its changes repair; else
 * it is the summary, which the list repairs. */
function lacksMessages(c: Conversation): boolean {
  return c.timeline !== undefined && c.timeline < c.highest;
}

function revOf(f: PushedChange): number {
  return f.t === "conversation" ? f.conversation.rev : f.rev;
}

function keep(c: Conversation, f: PushedChange) {
  const at = c.kept.findIndex((k) => revOf(k) >= revOf(f));
  if (c.kept.length >= maxKept || (at >= 0 && revOf(c.kept[at]!) === revOf(f))) return;
  c.kept.splice(at < 0 ? c.kept.length : at, 0, f);
}

/** Whether the user's role, which the frame does not tell, may be another after it:
 * one who joins has a role, and others' roles change without anybody joining. */
function mayChangeRole({ conversation, joined }: ConversationFrame, me: string): boolean {
  if (joined && joined.length > 0) return joined.some((u) => u.id === me);
  return conversation.members_rev === conversation.rev;
}

/** Ids are decimal numbers. */
function compareIds(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
