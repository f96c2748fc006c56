// The decisions about the scroll position of a timeline, apart from the list
// that scrolls. Pure.
import type { Row } from "./rows";

/** How near the end still counts as at the end, in pixels. */
export const endTolerance = 80;
/** How near an end of the window the next page is loaded, in pixels. */
export const loadMargin = 800;
/** How many rows above the last visible one may be other than messages. */
const maxOtherRows = 5;

export type ScrollState = {
  /** Whether the timeline has been scrolled to where reading starts. */
  positioned: boolean;
  atEnd: boolean;
  /** The key of the last row that was shown. */
  lastKey: string | undefined;
};

export type ScrollTarget = { index: number; align: "start" | "center" | "end" };

export function initialScroll(rows: Row[]): ScrollState {
  return { positioned: false, atEnd: true, lastKey: rows.at(-1)?.key };
}

/** Decides where to scroll after the rows have changed: first to the line of
 * new messages, or else to the end. Later the timeline follows new rows while
 * it is at its end, and always the user's own. */
export function scrollForRows(
  state: ScrollState,
  rows: Row[],
  timeline: { loaded: boolean; hasRead: boolean },
): { state: ScrollState; target?: ScrollTarget; follows: boolean } {
  let next = state;
  let target: ScrollTarget | undefined;
  const end: ScrollTarget = { index: rows.length - 1, align: "end" };
  if (!state.positioned) {
    if (!timeline.loaded || rows.length === 0) return { state, follows: false };
    const line = timeline.hasRead ? rows.findIndex((r) => r.kind === "new") : -1;
    next = { ...state, positioned: true, atEnd: line < 0 };
    target = line < 0 ? end : { index: Math.max(0, line - 1), align: "start" };
  }
  const last = rows.at(-1);
  if (last?.key === state.lastKey) return { state: next, target, follows: false };
  next = { ...next, lastKey: last?.key };
  const follows = next.atEnd || last?.kind === "outgoing";
  return { state: next, target: follows ? end : target, follows };
}

/** Where a list is scrolled to, in pixels. */
export type Viewport = { offset: number; height: number; contentHeight: number };

/** Decides what a scroll position means: whether it is at the end, whether to
 * offer the way there, and what to load. hasAfter: there are later messages
 * than those of the window. */
export function scrollForViewport(state: ScrollState, viewport: Viewport, hasAfter: boolean) {
  const below = viewport.contentHeight - viewport.height - viewport.offset;
  const atEnd = below < endTolerance && !hasAfter;
  return {
    state: { ...state, atEnd },
    away: !atEnd && below > endTolerance,
    loadOlder: viewport.offset < loadMargin,
    loadNewer: below < loadMargin,
  };
}

/** The first and the last seq of a window of messages, 0 for none. */
export type Range = { first: number; last: number };

/** Reports whether messages were added or removed at the front of the window,
 * so that the list has to keep the position of the others. Windows without a
 * common message are different places. */
export function frontChanged(before: Range, now: Range): boolean {
  return now.first !== before.first && now.first <= before.last && now.last >= before.first;
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
