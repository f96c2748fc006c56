import type { Message } from "../protocol/types";
import type { SyncState } from "./store";
import { applyChanges, upsert, type Timeline } from "./timeline";

/** ChangeLog is what the store has lately seen change in a conversation, without
 * a gap: of each change whose rev is above since and at most to, the message as
 * it was then, if it was one of a message. */
export type ChangeLog = { since: number; to: number; messages: Message[] };

/** How many messages a log has at most; the oldest changes make room. */
export const changeLogLimit = 200;

/** The log of a conversation of which nothing has been seen since rev. */
export function emptyChangeLog(rev: number): ChangeLog {
  return { since: rev, to: rev, messages: [] };
}

/** Adds the change that took a conversation from the rev before it to its own. */
export function record(log: ChangeLog | undefined, rev: number, m?: Message): ChangeLog {
  if (log && rev <= log.to) return log;
  // What lies between is not known, as after a summary that came without its messages.
  const known = log?.to === rev - 1 ? log : emptyChangeLog(rev - 1);
  const messages = m ? [...known.messages, m] : known.messages;
  if (messages.length <= changeLogLimit) return { ...known, to: rev, messages };
  return { since: messages[0]!.rev, to: rev, messages: messages.slice(1) };
}

/** Applies what is newer than the timeline's rev over it. A timeline that is
 * older than the log cannot follow: what lies between has to be asked for. */
export function catchUp(t: Timeline, log: ChangeLog | undefined): Timeline {
  if (!log || t.rev < log.since || t.rev >= log.to) return t;
  let next = t;
  for (const m of log.messages) if (m.rev > t.rev) next = upsert(next, m);
  return { ...next, rev: log.to };
}

/** Returns the parts of the state that change with a change of a conversation, for
 * one that is, or is about to be, open. */
export function advance(
  s: Pick<SyncState, "timelines" | "changeLogs">,
  id: string,
  change: { rev: number; message?: Message },
): Partial<Pick<SyncState, "timelines" | "changeLogs">> {
  const { rev, message } = change;
  const timeline = s.timelines[id];
  if (!timeline && !s.changeLogs[id]) return {};
  const log = record(s.changeLogs[id], rev, message);
  const changeLogs = { ...s.changeLogs, [id]: log };
  if (!timeline) return { changeLogs };
  // The log may be of another time than a timeline that follows what was requested.
  const next =
    timeline.rev === rev - 1 ? applyChanges(timeline, rev - 1, message ? [message] : [], rev) : timeline;
  return { changeLogs, timelines: { ...s.timelines, [id]: catchUp(next, log) } };
}
