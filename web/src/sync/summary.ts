import type { Summary } from "../protocol/types";

/** Returns what is known of a conversation after an answer, which pushes, and
 * answers to later questions, may have overtaken: nothing goes back. Its content
 * has a rev, the user's role that of the members; a read mark only grows. */
export function mergeSummary(stored: Summary | undefined, answer: Summary): Summary {
  if (!stored) return answer;
  const latest = answer.rev >= stored.rev ? answer : stored;
  const read = Math.max(stored.read, answer.read);
  const unread = latest.read === read ? latest.unread : unreadAfter(latest, read);
  return { ...latest, role: mergeRole(stored, answer), read, unread };
}

/** Returns the user's role after an answer. */
export function mergeRole(stored: Summary, answer: Summary): Summary["role"] {
  return answer.members_rev >= stored.members_rev ? answer.role : stored.role;
}

/** Returns how many messages are unread once those up to a seq have been read. */
export function unreadAfter(c: Summary, read: number): number {
  return Math.min(c.unread, Math.max(0, c.seq - read));
}
