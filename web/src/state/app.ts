// The state of the page. One fact in one place; views derive the rest.
import { create, type StoreApi } from "zustand";
import type { SocketState } from "../net/socket";
import type { Installation, Summary, User } from "../protocol/types";
import type { Draft, DraftTable } from "../sync/drafts";
import type { OutboxMessage } from "../sync/outbox";
import { emptySyncState, type SyncState } from "../sync/store";

/** SessionState is the state that ends with a session. */
export type SessionState = SyncState & {
  connection: SocketState;
  /** Whether the connection is open and may be lost nevertheless. */
  doubtful: boolean;
  /** Whether the server refuses connections of pages at this address. */
  originRefused: boolean;
  /** While it waits: when the next attempt to connect begins, by the device's clock. */
  retryAt: number;
  outbox: OutboxMessage[];
  /** What the person has begun to write, by conversation. */
  drafts: DraftTable;
  /** Whether what is not sent is in memory alone, and lost when the page closes. */
  storageFailed: boolean;
};

export type AppState = SessionState & {
  /** Whether the device says that it has a network. */
  hasNetwork: boolean;
  installation: Installation | null;
  /** Why the user has to log in again, or how far the log-out is: the server hears of
   * it, or could not be told yet. */
  notice: "revoked" | "expired" | "loggingOut" | "logOutPending" | null;
  /** Who is logged in in this browser, while the page is not theirs; and whose page
   * it was, if anybody's. */
  takenBy: { by: User; from: User | null } | null;
  /** How many messages could neither be sent nor kept when the last session ended. */
  lost: number;
};

export type AppStore = StoreApi<AppState>;

export const emptySessionState: SessionState = {
  ...emptySyncState,
  connection: "idle",
  doubtful: false,
  originRefused: false,
  retryAt: 0,
  outbox: [],
  drafts: {},
  storageFailed: false,
};

export const initialState: AppState = {
  ...emptySessionState,
  hasNetwork: true,
  installation: null,
  notice: null,
  takenBy: null,
  lost: 0,
};

export const useApp = create<AppState>()(() => initialState);

/** Returns the number of unread messages, with what was read on this device just now. */
export function unreadOf(c: Summary, readHere: number): number {
  // The server counts from the read mark or from the user's own last message.
  const read = Math.max(c.seq - c.unread, readHere, c.read);
  return Math.max(0, c.seq - read);
}

/** Returns the conversations, the latest activity first. */
export function byActivity(conversations: Record<string, Summary>): Summary[] {
  return Object.values(conversations).sort(compareActivity);
}

function compareActivity(a: Summary, b: Summary): number {
  return b.active_at - a.active_at || (a.id < b.id ? 1 : -1);
}

/** Returns a function that tells the ids of conversations, the latest activity first. It
 * sorts those that have changed, and puts them between the others. While the order is the
 * same it returns the same list. */
export function activityOrder(): (conversations: AppState["conversations"]) => readonly string[] {
  let seen: AppState["conversations"] = {};
  let sorted: Summary[] = [];
  let order: readonly string[] = [];
  return (conversations) => {
    if (conversations === seen) return order;
    seen = conversations;
    const same: Summary[] = [];
    const changed: Summary[] = [];
    for (const c of sorted) {
      const now = conversations[c.id];
      if (now === c) same.push(c);
      else if (now) changed.push(now);
    }
    const ids = Object.keys(conversations);
    if (ids.length > same.length + changed.length) {
      const known = new Set(order);
      for (const id of ids) if (!known.has(id)) changed.push(conversations[id]!);
    }
    sorted = merge(same, changed.sort(compareActivity));
    const isSame = sorted.length === order.length && sorted.every((c, i) => c.id === order[i]);
    if (!isSame) order = sorted.map((c) => c.id);
    return order;
  };
}

/** Merges two sorted lists. */
function merge(a: Summary[], b: Summary[]): Summary[] {
  const all: Summary[] = [];
  let i = 0;
  for (const c of b) {
    while (i < a.length && compareActivity(a[i]!, c) < 0) all.push(a[i++]!);
    all.push(c);
  }
  while (i < a.length) all.push(a[i++]!);
  return all;
}

const pageOrder = activityOrder();

/** The ids of the conversations, the latest activity first. */
export function useActivityOrder(): readonly string[] {
  return useApp((s) => pageOrder(s.conversations));
}

/** Returns the messages that nobody gets when the outbox is deleted. */
export function unsent(outbox: OutboxMessage[]): OutboxMessage[] {
  return outbox.filter((m) => m.state !== "accepted");
}

/** Returns the messages that failed for conversations that the user is not in
 * (any more): no timeline shows them. */
export function failedElsewhere(s: Pick<AppState, "ready" | "outbox" | "conversations">): OutboxMessage[] {
  if (!s.ready) return [];
  return s.outbox.filter((m) => m.state === "failed" && !s.conversations[m.conversation]);
}

/** Returns the user's latest message to a conversation that is not stored yet, or was not
 * sent: unless something has been written there since it failed. */
export function lastOutgoing(outbox: OutboxMessage[], c: Summary): OutboxMessage | undefined {
  const m = outbox.findLast((o) => o.conversation === c.id);
  if (!m || m.id === c.last?.client_id) return undefined;
  return m.state === "failed" && c.last && c.last.at > m.at ? undefined : m;
}

/** Returns what a list shows of a draft: "" for one without a text. */
export function draftPreview(d: Draft | undefined): string {
  return (d?.edit?.text ?? d?.text ?? "").trim().slice(0, 200);
}
