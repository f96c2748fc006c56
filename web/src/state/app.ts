// What the page knows. One fact in one place; views derive the rest.
import { create } from "zustand";
import type { SocketState } from "../net/socket";
import type { Installation, PresenceState, Summary, User } from "../protocol/types";
import type { OutboxMessage } from "../sync/outbox";
import type { Timeline } from "../sync/timeline";

export type Marks = Record<string, { read: number; received: number }>;

export type AppState = {
  installation: Installation | null;
  me: User | null;
  session: string;
  /** Why one has to log in again, if that is so. */
  notice: "revoked" | "expired" | null;
  connection: SocketState;
  /** Whether the list of conversations was loaded once. */
  ready: boolean;
  conversations: Record<string, Summary>;
  /** What this device has read; ahead of what the server has stored. */
  readHere: Record<string, number>;
  timelines: Record<string, Timeline>;
  outbox: OutboxMessage[];
  users: Record<string, User>;
  presence: Record<string, PresenceState>;
  /** conversation -> user -> when the typing is forgotten */
  typing: Record<string, Record<string, number>>;
  /** conversation -> user -> marks, of other people in small conversations */
  marks: Record<string, Marks>;
};

export const emptyState: Omit<AppState, "installation" | "notice"> = {
  me: null,
  session: "",
  connection: "idle",
  ready: false,
  conversations: {},
  readHere: {},
  timelines: {},
  outbox: [],
  users: {},
  presence: {},
  typing: {},
  marks: {},
};

export const useApp = create<AppState>()(() => ({ installation: null, notice: null, ...emptyState }));

/** Unread messages, with what was read on this device just now. */
export function unreadOf(c: Summary, readHere: number): number {
  // The server counts from the read mark or one's own last message.
  const seen = Math.max(c.seq - c.unread, readHere, c.read);
  return Math.max(0, c.seq - seen);
}

/** Conversations, the latest activity first. */
export function byActivity(conversations: Record<string, Summary>): Summary[] {
  return Object.values(conversations).sort((a, b) => b.active_at - a.active_at || (a.id < b.id ? 1 : -1));
}

export function nameOf(c: Summary): string {
  return c.kind === "direct" ? (c.peer?.display_name ?? "…") : c.title;
}
