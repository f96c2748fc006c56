import type { ConversationFrame, Message, Summary } from "../protocol/types";
import { advance } from "./changelog";
import { emptySyncState, type SyncState } from "./store";
import { mergeSummary } from "./summary";
import type { Applied } from "./syncstate";
import { applyChanges } from "./timeline";

/** Returns the parts of the state that change when the page applies what its sync
 * machine hands out. What the state has already changes nothing. */
export function apply(s: SyncState, a: Applied): Partial<SyncState> {
  switch (a.t) {
    case "reset":
      return reset(s);
    case "summary":
      return applySummary(s, a.summary);
    case "removed":
      return applyRemoval(s, a.conversation);
    case "pushed":
      return a.frame.t === "conversation" ? applyConversation(s, a.frame) : applyMessage(s, a.frame);
    case "described":
      return describeBy(s, a.message);
    case "changes": {
      const timeline = s.timelines[a.conversation];
      if (!timeline) return {};
      const changed = applyChanges(timeline, a.since, a.messages, a.rev);
      return { timelines: { ...s.timelines, [a.conversation]: changed } };
    }
  }
}

/** Drops what the server has told. What the device has to say (outbox, drafts) stays. */
function reset({ removals: before, conversations, changeLogs }: SyncState): Partial<SyncState> {
  const { ready, timelines, typing, marks, localReadMarks } = emptySyncState;
  // What was asked for before is not shown when it comes.
  const removals = { ...before };
  for (const id of Object.keys({ ...conversations, ...changeLogs })) removals[id] = (removals[id] ?? 0) + 1;
  return { ready, conversations: {}, timelines, changeLogs: {}, removals, typing, marks, localReadMarks };
}

function applySummary(s: SyncState, c: Summary): Partial<SyncState> {
  const stored = s.conversations[c.id];
  const conversations = { ...s.conversations, [c.id]: mergeSummary(stored, c) };
  if (!c.peer) {
    // Members may have left who are not named: the summary has the marks of the others.
    const isOfOthers = stored && c.members_rev > stored.members_rev;
    return isOfOthers ? { conversations, marks: { ...s.marks, [c.id]: {} } } : { conversations };
  }
  const mark = s.marks[c.id]?.[c.peer.id];
  const merged = {
    read: Math.max(c.peer_read ?? 0, mark?.read ?? 0),
    received: Math.max(c.peer_received ?? 0, c.peer_read ?? 0, mark?.received ?? 0),
  };
  return {
    conversations,
    users: { ...s.users, [c.peer.id]: c.peer },
    marks: { ...s.marks, [c.id]: { [c.peer.id]: merged } },
  };
}

/** Deletes everything of a conversation that the user is no longer in. */
function applyRemoval(s: SyncState, id: string): Partial<SyncState> {
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
    left: s.conversations[id] ? { ...s.left, [id]: s.conversations[id].title } : s.left,
    typing: without(s.typing),
    marks: without(s.marks),
    localReadMarks: without(s.localReadMarks),
  };
}

function applyMessage(s: SyncState, m: Message): Partial<SyncState> {
  const typing = { ...s.typing[m.conversation] };
  delete typing[m.sender];
  return {
    ...describeBy(s, m),
    ...advance(s, m.conversation, { rev: m.rev, message: m }),
    typing: { ...s.typing, [m.conversation]: typing },
  };
}

/** Takes a summary to the rev of a message whose change is the next one. */
function describeBy(s: SyncState, m: Message): Partial<SyncState> {
  const c = s.conversations[m.conversation];
  if (!c || m.rev <= c.rev) return {};
  const next = { ...c, rev: m.rev };
  if (m.seq > c.seq) {
    next.seq = m.seq;
    next.active_at = m.at;
    next.last = m;
    next.unread = m.sender === s.me?.id ? 0 : c.unread + 1;
  } else if (c.last?.seq === m.seq) next.last = m;
  return { conversations: { ...s.conversations, [c.id]: next } };
}

function applyConversation(s: SyncState, f: ConversationFrame): Partial<SyncState> {
  const { id, title, topic, rev, members_rev, members } = f.conversation;
  const advanced = advance(s, id, { rev });
  const c = s.conversations[id];
  if (!c || rev <= c.rev) return advanced;
  const next = { ...c, title, topic, rev, members_rev, members };
  const changed = { conversations: { ...s.conversations, [id]: next }, ...advanced };
  if (!f.left || f.left.length === 0) return changed;
  // How far those who remain have read is in the next list; whoever left may be the one
  // who had read furthest.
  delete next.others_read;
  const marks = { ...s.marks[id] };
  for (const u of f.left) delete marks[u.id];
  return { ...changed, marks: { ...s.marks, [id]: marks } };
}
