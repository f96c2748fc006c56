import type { Summary } from "../protocol/types";
import type { Marks } from "./store";

/** Returns what is known of a conversation after an answer, which pushes, and
 * answers to later questions, may have overtaken: nothing goes back. Its content
 * has a rev; the user's role, and how far one of the others has read, that of the members;
 * read marks of the same members only grow. */
export function mergeSummary(stored: Summary | undefined, answer: Summary): Summary {
  if (!stored) return answer;
  const latest = answer.rev >= stored.rev ? answer : stored;
  const read = Math.max(stored.read, answer.read);
  const unread = latest.read === read ? latest.unread : unreadAfter(latest, read);
  const merged = { ...latest, role: mergeRole(stored, answer), read, unread };
  delete merged.others_read;
  const othersRead = mergeOthersRead(stored, answer);
  return othersRead > 0 ? { ...merged, others_read: othersRead } : merged;
}

/** The one who had read furthest may be gone with another rev of the members. */
function mergeOthersRead(stored: Summary, answer: Summary): number {
  const before = stored.others_read ?? 0;
  const now = answer.others_read ?? 0;
  if (answer.members_rev !== stored.members_rev)
    return answer.members_rev > stored.members_rev ? now : before;
  return Math.max(before, now);
}

/** Returns up to which seq one of the others has read: by the marks that were
 * pushed, and by the summary, which has those that were lost on their way. */
export function readByOthers(c: Summary, marks: Marks | undefined, me: string): number {
  const pushed = Object.entries(marks ?? {}).map(([user, m]) => (user === me ? 0 : m.read));
  return Math.max(c.others_read ?? 0, ...pushed);
}

/** Returns how many of the others have read up to a seq, of how many: undefined where
 * not all of their marks are known. */
export function readerCount(
  c: Summary,
  marks: Marks | undefined,
  me: string,
  seq: number,
): { count: number; all: number } | undefined {
  const others = Object.entries(marks ?? {}).filter(([user]) => user !== me);
  const all = c.members - 1;
  if (all < 1 || others.length !== all) return undefined;
  return { count: others.filter(([, m]) => m.read >= seq).length, all };
}

/** Returns the user's role after an answer. */
export function mergeRole(stored: Summary, answer: Summary): Summary["role"] {
  return answer.members_rev >= stored.members_rev ? answer.role : stored.role;
}

/** Returns how many messages are unread once those up to a seq have been read. */
export function unreadAfter(c: Summary, read: number): number {
  return Math.min(c.unread, Math.max(0, c.seq - read));
}
