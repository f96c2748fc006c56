import type { PresenceState, Summary, User } from "../protocol/types";
import type { ChangeLog } from "./changelog";
import type { Timeline } from "./timeline";

/** Marks holds what each user of a conversation has read and received. */
export type Marks = Record<string, { read: number; received: number }>;

/** SyncState is what synchronization reads and writes. */
export type SyncState = {
  me: User | null;
  /** Whether the first sync has finished. */
  ready: boolean;
  conversations: Record<string, Summary>;
  /** By conversation, what was read on this device; ahead of what the server has stored. */
  localReadMarks: Record<string, number>;
  timelines: Record<string, Timeline>;
  /** Of each conversation that has, or waits for, a timeline. */
  changeLogs: Record<string, ChangeLog>;
  /** By conversation, how often the user was removed from it while the page was open. */
  removals: Record<string, number>;
  /** By conversation, the name of those that the user is no longer in since the page was
   * opened. */
  left: Record<string, string>;
  users: Record<string, User>;
  presence: Record<string, PresenceState>;
  /** By conversation and user, when the typing indicator expires. */
  typing: Record<string, Record<string, number>>;
  /** By conversation, the marks of the other members of small conversations. */
  marks: Record<string, Marks>;
};

/** SyncStore is the part of a store that synchronization needs. */
export type SyncStore = {
  getState(): SyncState;
  setState(update: (state: SyncState) => Partial<SyncState>): void;
};

export const emptySyncState: SyncState = {
  me: null,
  ready: false,
  conversations: {},
  localReadMarks: {},
  timelines: {},
  changeLogs: {},
  removals: {},
  left: {},
  users: {},
  presence: {},
  typing: {},
  marks: {},
};
