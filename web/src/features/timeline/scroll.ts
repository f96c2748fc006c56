// The decisions about the scroll position of a timeline, apart from the list
// that scrolls. Pure. All lengths are in CSS pixels.
import type { Anchor, Skipped } from "../../state/places";
import type { Row } from "./rows";

/** How near the end still counts as at the end. */
export const endTolerance = 80;
/** How near an end of the window the next page is loaded. */
export const loadMargin = 800;
/** How many messages that are missing after the end are loaded to stay there. Of more the
 * user decides whether to read or to skip them. */
export const maxFollowed = 120;
/** How many rows beside a visible one may be other than messages. */
const maxOtherRows = 5;
/** Which part of the viewport is above the line of new messages: enough of what was read
 * to remember, and most of the room for what is new. */
const lineShare = 1 / 4;

/** Goal is where a timeline is to be as soon as it has the rows for that. */
export type Goal =
  /** Where reading starts: at the line of new messages, or else at the end. */
  | { to: "unread" }
  /** At the latest message. */
  | { to: "end" }
  /** With the first unread message of a seq where the line of new messages belongs. */
  | { to: "line"; seq: number }
  | { to: "anchor"; anchor: Anchor };

export type ScrollState = {
  goal: Goal | undefined;
  /** Whether the end is kept in view, whatever is added or changes its size. */
  atEnd: boolean;
  /** How far the end is below the viewport while it is kept. */
  below: number;
  /** The viewport when it was seen last. */
  seen: Viewport;
};

/** Viewport is what of a list is in view. */
export type Viewport = { offset: number; height: number; contentHeight: number };

/** ScrollTarget is the end of the list, or a row and how far below its top the viewport
 * begins; less than 0 when it begins above that. */
export type ScrollTarget = "end" | { index: number; offset: number };

export function initialScroll(goal: Goal): ScrollState {
  return { goal, atEnd: false, below: 0, seen: { offset: 0, height: 0, contentHeight: 0 } };
}

export type RowsOfTimeline = {
  /** Whether the rows are those in which the goal is. */
  loaded: boolean;
  /** How many later messages there are than those of the rows. */
  missing: number;
  /** The height of the viewport. */
  height: number;
};

/** Decides where to scroll when the rows have changed: to the goal, if they are the rows
 * for it; else to the end, if it is kept in view. */
export function scrollForRows(
  state: ScrollState,
  rows: Row[],
  timeline: RowsOfTimeline,
): { state: ScrollState; target?: ScrollTarget } {
  // What is loaded again begins where reading starts.
  if (!timeline.loaded) return { state: state.goal ? state : initialScroll({ to: "unread" }) };
  if (rows.length === 0) return { state };
  const atEnd = { ...state, goal: undefined, atEnd: true, below: 0 };
  const elsewhere = { ...state, goal: undefined, atEnd: false };
  const { goal } = state;
  switch (goal?.to) {
    case undefined:
      return state.atEnd && timeline.missing <= maxFollowed ? { state: atEnd, target: "end" } : { state };
    case "unread": {
      const line = rows.findIndex((r) => r.kind === "new");
      const endsWithOwn = timeline.missing === 0 && rows.at(-1)?.kind === "outgoing";
      if (line < 0 || endsWithOwn) return { state: atEnd, target: "end" };
      return { state: elsewhere, target: lineTarget(line, timeline.height) };
    }
    case "end":
      // What the user has just written is shown before the latest messages are loaded.
      if (timeline.missing > 0)
        return { state, target: rows.at(-1)?.kind === "outgoing" ? "end" : undefined };
      return { state: atEnd, target: "end" };
    case "line":
      return { state: elsewhere, target: lineTarget(indexOf(rows, goal.seq), timeline.height) };
    case "anchor": {
      const { seq, offset } = goal.anchor;
      return { state: elsewhere, target: { index: indexOf(rows, seq), offset: -offset } };
    }
  }
}

function lineTarget(index: number, height: number): ScrollTarget {
  return { index, offset: -Math.round(height * lineShare) };
}

/** Returns the index of a message, or of the first one after it. */
function indexOf(rows: Row[], seq: number): number {
  const index = rows.findIndex((r) => r.kind === "message" && r.message.seq >= seq);
  return index < 0 ? rows.length - 1 : index;
}

/** Decides what a scroll position means: whether it is at the end, whether to
 * offer the way there, and what to load. missing: how many later messages there are
 * than those of the window.
 *
 * Only who scrolls up leaves the end. A position that has changed together with the size
 * of something is not the user's doing, and one that has not changed while the end went
 * away from it neither. */
export function scrollForViewport(state: ScrollState, viewport: Viewport, missing: number) {
  const { seen } = state;
  const below = viewport.contentHeight - viewport.height - viewport.offset;
  const isNear = below < endTolerance;
  const isScroll = viewport.height === seen.height && viewport.contentHeight === seen.contentHeight;
  const scrolledUp = isScroll && viewport.offset < seen.offset;
  const stays = state.atEnd && missing <= maxFollowed && (isNear || !scrolledUp);
  const atEnd = stays || (isNear && missing === 0);
  const keepsBelow = !isNear || (state.atEnd && !isScroll);
  return {
    state: { goal: state.goal, atEnd, below: keepsBelow ? state.below : Math.max(0, below), seen: viewport },
    away: !atEnd && !isNear,
    loadOlder: viewport.offset < loadMargin,
    loadNewer: below < loadMargin,
  };
}

/** Returns where to scroll when the viewport or rows have changed their size, undefined if
 * nothing has to: what was at the end of the viewport stays there. */
export function scrollForSize(state: ScrollState, viewport: Viewport): number | undefined {
  if (!state.atEnd || state.goal) return undefined;
  const offset = Math.max(0, viewport.contentHeight - viewport.height - state.below);
  return Math.abs(offset - viewport.offset) < 1 ? undefined : offset;
}

/** Returns where to scroll so that an item is in view, undefined if it is: as much of it as
 * there is room for. */
export function offsetToShow(viewport: Viewport, top: number, bottom: number): number | undefined {
  const end = viewport.offset + viewport.height;
  if (bottom > end && top > viewport.offset) return Math.min(top, bottom - viewport.height);
  if (top < viewport.offset && bottom < end) return Math.max(top, bottom - viewport.height);
  return undefined;
}

/** The first and the last seq of a window of messages, 0 for none. */
export type Range = { first: number; last: number };

/** Reports whether messages were added or removed at the front of the window,
 * so that the list has to keep the position of the others. Windows without a
 * common message are different places. */
export function frontChanged(before: Range, now: Range): boolean {
  return now.first !== before.first && now.first <= before.last && now.last >= before.first;
}

/** Returns the anchor of a viewport whose first visible row has an index, undefined if no
 * message is near. topOf returns how far a row's top is below the top of the viewport. */
export function anchorAt(
  rows: Row[],
  firstVisible: number,
  topOf: (index: number) => number,
): Anchor | undefined {
  for (let i = Math.max(0, firstVisible); i < rows.length && i < firstVisible + maxOtherRows; i++) {
    const row = rows[i];
    if (row?.kind === "message") return { seq: row.message.seq, offset: Math.round(topOf(i)) };
  }
  return undefined;
}

/** Returns the seq of the last visible message, 0 if there is none near the
 * index of the last visible row. */
export function lastVisibleSeq(rows: Row[], lastVisible: number): number {
  const last = Math.min(lastVisible, rows.length - 1);
  for (let i = last; i >= 0 && i > last - maxOtherRows; i--) {
    const row = rows[i];
    if (row?.kind === "message") return row.message.seq;
  }
  return 0;
}

/** Returns up to which seq the user has read when the messages first to last are in view, 0
 * for no further than before; and what is then still skipped. */
export function readInView(skipped: Skipped | undefined, first: number, last: number) {
  if (skipped && (first === 0 || first > skipped.from)) return { read: 0, skipped };
  return { read: last, skipped: undefined };
}
