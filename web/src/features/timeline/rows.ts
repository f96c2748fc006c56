// What the timeline shows, one row after the other. Pure.
import type { Message } from "../../protocol/types";
import type { OutboxMessage } from "../../sync/outbox";
import { sameDay } from "../../ui/time";

export type Row =
  | { kind: "start"; key: string }
  | { kind: "day"; key: string; at: number }
  | { kind: "new"; key: string }
  | { kind: "message"; key: string; message: Message; first: boolean }
  | { kind: "outgoing"; key: string; message: OutboxMessage; first: boolean };

/** Messages of one sender within this time stand together. */
const together = 5 * 60 * 1000;

export function rowsOf(
  messages: Message[],
  outgoing: OutboxMessage[],
  me: string,
  firstUnread: number,
  hasBefore: boolean,
): Row[] {
  const rows: Row[] = [];
  if (!hasBefore) rows.push({ kind: "start", key: "start" });
  let previous: { sender: string; at: number } | null = null;
  const day = (at: number) => {
    if (previous && sameDay(previous.at, at)) return;
    rows.push({ kind: "day", key: "day" + at, at });
    previous = null;
  };
  for (const message of messages) {
    day(message.at);
    if (message.seq === firstUnread) {
      rows.push({ kind: "new", key: "new" });
      previous = null;
    }
    const first = !follows(previous, message.sender, message.at);
    // A message keeps the key of its way out, so that it does not blink when
    // it is stored.
    rows.push({ kind: "message", key: message.client_id, message, first });
    previous = { sender: message.sender, at: message.at };
  }
  const stored = new Set(messages.map((m) => m.client_id));
  for (const message of outgoing) {
    if (stored.has(message.id)) continue;
    day(message.at);
    rows.push({ kind: "outgoing", key: message.id, message, first: !follows(previous, me, message.at) });
    previous = { sender: me, at: message.at };
  }
  return rows;
}

function follows(previous: { sender: string; at: number } | null, sender: string, at: number): boolean {
  return previous !== null && previous.sender === sender && at - previous.at < together;
}

/** The first message that one has not read and not written, 0 for none. */
export function firstUnread(messages: Message[], read: number, me: string): number {
  return messages.find((m) => m.seq > read && m.sender !== me)?.seq ?? 0;
}
