import type { Message } from "../../protocol/types";
import type { OutboxMessage } from "../../sync/outbox";
import { sameDay } from "../../ui/time";

/** Row is one row of a timeline. */
export type Row =
  | { kind: "start"; key: string }
  | { kind: "day"; key: string; at: number }
  | { kind: "new"; key: string }
  /** Messages that are not loaded, before the user's own latest ones. */
  | { kind: "gap"; key: string }
  | { kind: "message"; key: string; message: Message; startsGroup: boolean }
  | { kind: "outgoing"; key: string; message: OutboxMessage; startsGroup: boolean };

/** Messages of one sender within this time form a group. */
const groupingInterval = 5 * 60 * 1000;

export function buildRows(
  messages: Message[],
  outgoing: OutboxMessage[],
  me: string,
  firstUnread: number,
  { hasBefore, hasAfter }: { hasBefore: boolean; hasAfter: boolean },
): Row[] {
  const rows: Row[] = [];
  if (!hasBefore) rows.push({ kind: "start", key: "start" });
  let previous: { sender: string; at: number } | null = null;
  const addDay = (at: number) => {
    if (previous && sameDay(previous.at, at)) return;
    rows.push({ kind: "day", key: "day" + at, at });
    previous = null;
  };
  for (const message of messages) {
    addDay(message.at);
    if (message.seq === firstUnread) {
      rows.push({ kind: "new", key: "new" });
      previous = null;
    }
    const startsGroup = !continuesGroup(previous, message.sender, message.at);
    // A message of one's own keeps the key that it had in the outbox, so that it does
    // not flicker when it is stored. Others may have chosen the same client id.
    const key = message.sender === me ? message.client_id : message.id;
    rows.push({ kind: "message", key, message, startsGroup });
    previous = { sender: message.sender, at: message.at };
  }
  const stored = new Set(messages.filter((m) => m.sender === me).map((m) => m.client_id));
  const unstored = outgoing.filter((m) => !stored.has(m.id));
  if (hasAfter && unstored.length > 0) {
    rows.push({ kind: "gap", key: "gap" });
    if (previous) previous = { ...previous, sender: "" };
  }
  for (const message of unstored) {
    addDay(message.at);
    rows.push({
      kind: "outgoing",
      key: message.id,
      message,
      startsGroup: !continuesGroup(previous, me, message.at),
    });
    previous = { sender: me, at: message.at };
  }
  return rows;
}

function continuesGroup(
  previous: { sender: string; at: number } | null,
  sender: string,
  at: number,
): boolean {
  return previous !== null && previous.sender === sender && at - previous.at < groupingInterval;
}

/** Returns the seq of the first message of others that is not read, 0 for none. */
export function firstUnread(messages: Message[], read: number, me: string): number {
  return messages.find((m) => m.seq > read && m.sender !== me)?.seq ?? 0;
}

/** CurrentRow is a row that one has come to by keys. */
export type CurrentRow = { key: string; seq: number };

/** Reports whether a row is a message, which can have the focus. */
export function isFocusable(row: Row): boolean {
  return row.kind === "message" || row.kind === "outgoing";
}

/** Returns the seq of a row; of a message that has none yet, what is after all others. */
export function seqOf(row: Row): number {
  return row.kind === "message" ? row.message.seq : Infinity;
}

/** Returns the index of the next message from an index, in the direction of step; -1 for
 * none. */
export function nextRow(rows: Row[], from: number, step: 1 | -1): number {
  for (let i = from + step; i >= 0 && i < rows.length; i += step) if (isFocusable(rows[i]!)) return i;
  return -1;
}

/** Returns the index of a row, or of the message that is where it was; -1 if there is none. */
export function currentRow(rows: Row[], { key, seq }: CurrentRow): number {
  const same = rows.findIndex((r) => r.key === key);
  if (same >= 0) return same;
  const after = rows.findIndex((r) => isFocusable(r) && seqOf(r) > seq);
  return after >= 0 ? after : nextRow(rows, rows.length, -1);
}
