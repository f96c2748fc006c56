import type { Message } from "../protocol/types";

/** Timeline is a window of a conversation's messages: contiguous, in ascending
 * order of seq. Its functions are pure.
 *
 * A timeline changes at one end at a time: the view keeps its scroll position
 * over a change at either end, but not over both at once. So growing never
 * trims; trimming is a step of its own. */
export type Timeline = {
  messages: Message[];
  hasBefore: boolean;
  hasAfter: boolean;
};

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

/** Adds a page of older messages. */
export function prepend(t: Timeline, page: Message[], hasBefore: boolean): Timeline {
  const older = page.filter((m) => m.seq < firstSeq(t));
  const gap = older.length > 0 && older.at(-1)!.seq !== firstSeq(t) - 1;
  if (gap) return t;
  return { messages: [...older, ...t.messages], hasBefore, hasAfter: t.hasAfter };
}

/** Adds a page of newer messages. */
export function append(t: Timeline, page: Message[], hasAfter: boolean): Timeline {
  let next: Timeline = { ...t, hasAfter: false };
  for (const m of page) next = upsert(next, m);
  return { ...next, hasAfter: hasAfter || next.hasAfter };
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
