import type { History, Message } from "../protocol/types";

/** Timeline is a window of a conversation's messages: contiguous, in ascending
 * order of seq. Its functions are pure.
 *
 * A timeline is of a rev: it has seen every change up to that one, and what is
 * newer is applied over it (see changelog.ts). One whose rev is lower than its
 * conversation's lacks changes, for whatever reason, and has to ask for them.
 *
 * A timeline changes at one end at a time: the view keeps its scroll position
 * over a change at either end, but not over both at once. So growing never
 * trims; trimming is a step of its own. */
export type Timeline = {
  messages: Message[];
  hasBefore: boolean;
  hasAfter: boolean;
  rev: number;
};

export function fromHistory(h: History): Timeline {
  return { messages: h.items, hasBefore: h.has_before, hasAfter: h.has_after, rev: h.rev };
}

/** How many messages are kept when a timeline is trimmed. */
export const windowSize = 1500;
/** A timeline is trimmed once it is larger than this. */
const windowLimit = 1800;

export function firstSeq(t: Timeline): number {
  return t.messages[0]?.seq ?? 0;
}

export function lastSeq(t: Timeline): number {
  return t.messages.at(-1)?.seq ?? 0;
}

/** Adds a new message, or replaces one that has changed. */
export function upsert(t: Timeline, m: Message): Timeline {
  const first = firstSeq(t);
  const last = lastSeq(t);
  if (t.messages.length > 0 && m.seq >= first && m.seq <= last) {
    const i = m.seq - first;
    const stored = t.messages[i];
    if (!stored || stored.seq !== m.seq || stored.rev >= m.rev) return t;
    const messages = t.messages.slice();
    messages[i] = m;
    return { ...t, messages };
  }
  if (m.seq === last + 1 && !t.hasAfter) return { ...t, messages: [...t.messages, m] };
  // Messages in between are missing.
  if (m.seq > last) return t.hasAfter ? t : { ...t, hasAfter: true };
  return t;
}

/** Adds the page before a seq. The timeline is then of the older of the two revs. */
export function prepend(t: Timeline, before: number, h: History): Timeline {
  const first = firstSeq(t);
  if (before < first) return t; // trimmed meanwhile: the page does not touch it any more
  const older = h.items.filter((m) => m.seq < first);
  return {
    ...t,
    messages: [...older, ...t.messages],
    hasBefore: h.has_before,
    rev: Math.min(t.rev, h.rev),
  };
}

/** Adds the page after a seq. The timeline is then of the older of the two revs. */
export function append(t: Timeline, after: number, h: History): Timeline {
  if (after > lastSeq(t)) return t; // trimmed meanwhile: the page does not touch it any more
  let next: Timeline = { ...t, hasAfter: false, rev: Math.min(t.rev, h.rev) };
  for (const m of h.items) next = upsert(next, m);
  return { ...next, hasAfter: h.has_after || next.hasAfter };
}

/** Applies the messages that have changed after since; with them everything up
 * to rev has been seen. */
export function applyChanges(t: Timeline, since: number, messages: Message[], rev: number): Timeline {
  let next = t;
  // Changes are in the order of their rev: of two new messages, the first may come
  // last, because it was edited.
  for (const m of messages.toSorted((a, b) => a.seq - b.seq)) next = upsert(next, m);
  return t.rev < since || rev <= t.rev ? next : { ...next, rev };
}

/** Drops the oldest messages when there are too many. */
export function trimFront(t: Timeline): Timeline {
  if (t.messages.length <= windowLimit) return t;
  return { ...t, messages: t.messages.slice(t.messages.length - windowSize), hasBefore: true };
}

/** Drops the latest messages when there are too many. */
export function trimBack(t: Timeline): Timeline {
  if (t.messages.length <= windowLimit) return t;
  return { ...t, messages: t.messages.slice(0, windowSize), hasAfter: true };
}
