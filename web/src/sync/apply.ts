import type { ConversationFrame, Message, Summary } from "../protocol/types";
import { advance } from "./changelog";
import { emptySyncState, type SyncState } from "./store";
import { mergeSummary } from "./summary";
import type { Applied } from "./syncstate";
import { applyChanges } from "./timeline";

/** Returns the parts of the state that change when the page applies what its sync
 * machine hands out at once, in its order. What the state has already changes nothing. */
export function apply(s: SyncState, all: Applied[]): Partial<SyncState> {
  const b = new Batch(s);
  for (const a of all) applyOne(b, a);
  return b.changed;
}

/** The parts of the state that have an entry for each conversation or user. */
type Records = Pick<
  SyncState,
  | "conversations"
  | "localReadMarks"
  | "timelines"
  | "changeLogs"
  | "removals"
  | "left"
  | "users"
  | "typing"
  | "marks"
>;

/** Batch is a state that changes. A record is copied when its first entry changes, and
 * then no more: a page of the list with hundreds of conversations costs one copy. */
class Batch {
  readonly changed: Partial<SyncState> = {};

  constructor(private readonly s: SyncState) {}

  get<K extends keyof SyncState>(part: K): SyncState[K] {
    return part in this.changed ? this.changed[part]! : this.s[part];
  }

  /** Sets an entry of a record. */
  set<K extends keyof Records>(part: K, id: string, value: Records[K][string]) {
    (this.own(part) as Record<string, Records[K][string]>)[id] = value;
  }

  delete(part: keyof Records, id: string) {
    if (id in this.get(part)) delete this.own(part)[id];
  }

  /** Replaces whole parts; the batch owns them from then on. */
  replace(parts: Partial<SyncState>) {
    Object.assign(this.changed, parts);
  }

  private own(part: keyof Records): Record<string, unknown> {
    if (!this.changed[part]) this.replace({ [part]: { ...this.s[part] } });
    return this.changed[part]!;
  }
}

function applyOne(b: Batch, a: Applied) {
  switch (a.t) {
    case "reset":
      return reset(b);
    case "summary":
      return applySummary(b, a.summary);
    case "removed":
      return applyRemoval(b, a.conversation);
    case "pushed":
      return a.frame.t === "conversation" ? applyConversation(b, a.frame) : applyMessage(b, a.frame);
    case "described":
      return describeBy(b, a.message);
    case "changes": {
      const timeline = b.get("timelines")[a.conversation];
      if (timeline) b.set("timelines", a.conversation, applyChanges(timeline, a.since, a.messages, a.rev));
    }
  }
}

/** Drops what the server has told. What the device has to say (outbox, drafts) stays. */
function reset(b: Batch) {
  // What was asked for before is not shown when it comes.
  const removals = { ...b.get("removals") };
  const known = { ...b.get("conversations"), ...b.get("changeLogs") };
  for (const id of Object.keys(known)) removals[id] = (removals[id] ?? 0) + 1;
  b.replace({
    ready: emptySyncState.ready,
    ...{
      conversations: {},
      timelines: {},
      changeLogs: {},
      removals,
      typing: {},
      marks: {},
      localReadMarks: {},
    },
  });
}

function applySummary(b: Batch, c: Summary) {
  const stored = b.get("conversations")[c.id];
  b.set("conversations", c.id, mergeSummary(stored, c));
  if (!c.peer) {
    // Members may have left who are not named: the summary has the marks of the others.
    if (stored && c.members_rev > stored.members_rev) b.set("marks", c.id, {});
    return;
  }
  const mark = b.get("marks")[c.id]?.[c.peer.id];
  const merged = {
    read: Math.max(c.peer_read ?? 0, mark?.read ?? 0),
    received: Math.max(c.peer_received ?? 0, c.peer_read ?? 0, mark?.received ?? 0),
  };
  b.set("users", c.peer.id, c.peer);
  b.set("marks", c.id, { [c.peer.id]: merged });
}

/** Deletes everything of a conversation that the user is no longer in. */
function applyRemoval(b: Batch, id: string) {
  const c = b.get("conversations")[id];
  if (c) b.set("left", id, c.title);
  for (const part of [
    "conversations",
    "timelines",
    "changeLogs",
    "typing",
    "marks",
    "localReadMarks",
  ] as const)
    b.delete(part, id);
  b.set("removals", id, (b.get("removals")[id] ?? 0) + 1);
}

function applyMessage(b: Batch, m: Message) {
  describeBy(b, m);
  b.replace(
    advance({ timelines: b.get("timelines"), changeLogs: b.get("changeLogs") }, m.conversation, {
      rev: m.rev,
      message: m,
    }),
  );
  const typing = b.get("typing")[m.conversation];
  if (!typing || !(m.sender in typing)) return;
  const others = { ...typing };
  delete others[m.sender];
  b.set("typing", m.conversation, others);
}

/** Takes a summary to the rev of a message whose change is the next one. */
function describeBy(b: Batch, m: Message) {
  const c = b.get("conversations")[m.conversation];
  if (!c || m.rev <= c.rev) return;
  const next = { ...c, rev: m.rev };
  if (m.seq > c.seq) {
    next.seq = m.seq;
    next.active_at = m.at;
    next.last = m;
    next.unread = m.sender === b.get("me")?.id ? 0 : c.unread + 1;
  } else if (c.last?.seq === m.seq) next.last = m;
  b.set("conversations", c.id, next);
}

function applyConversation(b: Batch, f: ConversationFrame) {
  const { id, title, topic, rev, members_rev, members } = f.conversation;
  b.replace(advance({ timelines: b.get("timelines"), changeLogs: b.get("changeLogs") }, id, { rev }));
  const c = b.get("conversations")[id];
  if (!c || rev <= c.rev) return;
  const next = { ...c, title, topic, rev, members_rev, members };
  b.set("conversations", id, next);
  if (!f.left || f.left.length === 0) return;
  // How far those who remain have read is in the next list; whoever left may be the one
  // who had read furthest.
  delete next.others_read;
  const marks = { ...b.get("marks")[id] };
  for (const u of f.left) delete marks[u.id];
  b.set("marks", id, marks);
}
