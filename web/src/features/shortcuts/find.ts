import type { Summary, User } from "../../protocol/types";
import { byActivity, unreadOf, type AppState } from "../../state/app";
import { fold, foldQuery } from "../../text/fold";

/** Choice is a conversation that one may go to. */
export type Choice = {
  id: string;
  kind: Summary["kind"];
  name: string;
  /** The other person of a direct one. */
  peer?: User;
  unread: number;
  /** The folded names by which it is found. */
  folded: string[];
};

/** Returns the conversations to choose from: those with unread messages first, and of each
 * part the latest activity. */
export function choicesOf(s: Pick<AppState, "conversations" | "users" | "localReadMarks">): Choice[] {
  const all = byActivity(s.conversations).map((c): Choice => {
    const peer = c.kind === "direct" && c.peer ? (s.users[c.peer.id] ?? c.peer) : undefined;
    const names = peer ? [peer.display_name, peer.name] : [c.title];
    const unread = unreadOf(c, s.localReadMarks[c.id] ?? 0);
    return { id: c.id, kind: c.kind, name: names[0]!, peer, unread, folded: names.map(fold) };
  });
  return [...all.filter((c) => c.unread > 0), ...all.filter((c) => c.unread === 0)];
}

/** Returns the choices whose names contain what was typed: first those that begin with it,
 * then those with a word that does. */
export function find(choices: Choice[], text: string): Choice[] {
  const query = foldQuery(text);
  if (query === "") return choices;
  const ranks: Choice[][] = [[], [], []];
  for (const c of choices) {
    const places = c.folded.map((name) => rankOf(name, query));
    ranks[Math.min(...places)]?.push(c);
  }
  return ranks.flat();
}

function rankOf(name: string, query: string): number {
  const at = name.indexOf(query);
  if (at < 0) return 3;
  if (at === 0) return 0;
  const startsWord = (i: number) => !/[\p{L}\p{N}]/u.test(name[i - 1]!);
  for (let i = at; i > 0; i = name.indexOf(query, i + 1)) if (startsWord(i)) return 1;
  return 2;
}
