import type { Summary } from "../protocol/types";
import type { Marks } from "./store";

/** Returns what is known of a conversation after an answer, which pushes, and
 * answers to later questions, may have overtaken: nothing goes back. Its content
 * has a rev, the user's role that of the members; read marks only grow. */
export function mergeSummary(stored: Summary | undefined, answer: Summary): Summary {
  if (!stored) return answer;
  const latest = answer.rev >= stored.rev ? answer : stored;
  const read = Math.max(stored.read, answer.read);
  const unread = latest.read === read ? latest.unread : unreadAfter(latest, read);
  const merged = { ...latest, role: mergeRole(stored, answer), read, unread };
  const othersRead = Math.max(stored.others_read ?? 0, answer.others_read ?? 0);
  return othersRead > 0 ? { ...merged, others_read: othersRead } : merged;
}

/** Returns up to which seq one of the others has read: by the marks that were
 * pushed, and by the summary, which has those that were lost on their way. */
export function readByOthers(c: Summary, marks: Marks | undefined, me: string): number {
  const pushed = Object.entries(marks ?? {}).map(([user, m]) => (user === me ? 0 : m.read));
  return Math.max(c.others_read ?? 0, ...pushed);
}

/** Returns the user's role after an answer. */
export function mergeRole(stored: Summary, answer: Summary): Summary["role"] {
  return answer.members_rev >= stored.members_rev ? answer.role : stored.role;
}

/** Returns how many messages are unread once those up to a seq have been read. */
export function unreadAfter(c: Summary, read: number): number {
  return Math.min(c.unread, Math.max(0, c.seq - read));
}
