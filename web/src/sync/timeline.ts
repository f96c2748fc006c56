// A window of a conversation's messages: contiguous, in ascending seq. Pure.
import type { Message } from "../protocol/types";

export type Timeline = {
  messages: Message[];
  hasBefore: boolean;
  hasAfter: boolean;
};

/** How many messages a window keeps; what is far away is loaded again. */
export const windowSize = 1500;

export function firstSeq(t: Timeline): number {
  return t.messages[0]?.seq ?? 0;
}

export function lastSeq(t: Timeline): number {
  return t.messages.at(-1)?.seq ?? 0;
}

/** Puts a message that is new or has changed into the window. */
export function upsert(t: Timeline, m: Message): Timeline {
  const first = firstSeq(t);
  const last = lastSeq(t);
  if (t.messages.length > 0 && m.seq >= first && m.seq <= last) {
    const i = m.seq - first;
    const known = t.messages[i];
    if (!known || known.seq !== m.seq || known.rev >= m.rev) return t;
    const messages = t.messages.slice();
    messages[i] = m;
    return { ...t, messages };
  }
  if (m.seq === last + 1 && !t.hasAfter) {
    const messages = [...t.messages, m];
    // Only the far end is let go, and only by a lot at once.
    if (messages.length > windowSize * 1.2) {
      return { ...t, messages: messages.slice(messages.length - windowSize), hasBefore: true };
    }
    return { ...t, messages };
  }
  // Beyond the end: there is something between that is not here.
  if (m.seq > last) return t.hasAfter ? t : { ...t, hasAfter: true };
  return t;
}

/** Adds a page in front of the window. */
export function prepend(t: Timeline, page: Message[], hasBefore: boolean): Timeline {
  const older = page.filter((m) => m.seq < firstSeq(t));
  const gap = older.length > 0 && older.at(-1)!.seq !== firstSeq(t) - 1;
  if (gap) return t;
  let messages = [...older, ...t.messages];
  let hasAfter = t.hasAfter;
  if (messages.length > windowSize * 1.2) {
    messages = messages.slice(0, windowSize);
    hasAfter = true;
  }
  return { messages, hasBefore, hasAfter };
}

/** Adds a page behind the window. */
export function append(t: Timeline, page: Message[], hasAfter: boolean): Timeline {
  let next: Timeline = { ...t, hasAfter: false };
  for (const m of page) next = upsert(next, m);
  return { ...next, hasAfter: hasAfter || next.hasAfter };
}
