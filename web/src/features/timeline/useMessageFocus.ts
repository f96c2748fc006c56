import {
  useCallback,
  useLayoutEffect,
  useReducer,
  useRef,
  useState,
  type FocusEvent,
  type KeyboardEvent,
} from "react";
import type { RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { actionOf, type ActionOf } from "../shortcuts/shortcuts";
import { currentRow, isFocusable, nextRow, seqOf, type CurrentRow, type Row } from "./rows";

/** What of a message is used by keys once the message has the focus. Its menu is opened from
 * the message itself. */
const controls = "a[href], button:not([aria-haspopup=menu]), .scroll";

type Action = ActionOf<"messages">;

/** Where the focus is to be as soon as there is such a row. */
type Goal =
  | { to: "row"; row: CurrentRow }
  | { to: "seq"; seq: number }
  | { to: "first" }
  | { to: "last" }
  /** Where an action leads that has come to an edge of what is loaded. */
  | { to: "beyond"; edge: string; step: 1 | -1; action: Action };

/** A goal, and whether all has been loaded that it waits for: without such a row then, there
 * is none. */
type Wanted = Goal & { isLoaded: boolean };

type Options = {
  rows: Row[];
  /** Whether there are messages before and after the rows. */
  hasBefore: boolean;
  hasAfter: boolean;
  scroller: RefObject<HTMLDivElement | null>;
  list: RefObject<VirtualizerHandle | null>;
  /** Scrolls until an element is in view. */
  reveal: (e: Element) => void;
  /** Loads the messages after or before the rows. */
  loadMore: (step: 1 | -1) => Promise<void>;
  loadStart: () => Promise<void>;
  showStart: () => void;
  goToEnd: () => Promise<void>;
  /** Does what a key asks for with a message; reports whether it did. */
  onAction: (action: Action, row: Row) => boolean;
};

/** Moves the focus through the messages by keys. The timeline is one stop of the tab key:
 * it passes the focus on to a message, and from there the tab key goes through what is in
 * that one, and then on. The message with the focus stays in the document wherever the list
 * is scrolled; when its element is replaced the new one gets the focus, and when it is gone
 * the one that was next to it.
 *
 * While the focus is on its way to a message that is not there yet, keys wait, and then do
 * what they would have done if pressed slowly. */
export function useMessageFocus(options: Options) {
  const { rows, hasBefore, hasAfter, scroller, list, reveal } = options;
  const { loadMore, loadStart, showStart, goToEnd, onAction } = options;
  const [current, setCurrent] = useState<CurrentRow | null>(null);
  const [hasFocus, setHasFocus] = useState(false);
  const wanted = useRef<Wanted | null>(null);
  const [turn, takeTurn] = useReducer((n: number) => n + 1, 0);
  /** What was pressed meanwhile, in that order. */
  const waiting = useRef<Action[]>([]);
  const actNext = useRef(() => {});
  /** Whether a key has brought the row into view, until the list has come to rest there. */
  const follows = useRef(false);
  const index = current ? currentRow(rows, current) : -1;

  const elementAt = useCallback(
    (i: number) => scroller.current?.querySelector<HTMLElement>(`[data-index="${i}"] > article`),
    [scroller],
  );
  const indexOf = (e: EventTarget) => Number((e as Element).closest<HTMLElement>("[data-index]")?.dataset.index ?? -1); // prettier-ignore

  const want = useCallback((goal: Goal, loading?: Promise<unknown>) => {
    const w: Wanted = { ...goal, isLoaded: !loading };
    wanted.current = w;
    takeTurn(); // it may be there already
    const onLoaded = () => {
      w.isLoaded = true;
      takeTurn();
    };
    loading?.then(onLoaded, onLoaded);
  }, []);
  const giveUp = () => {
    wanted.current = null;
    waiting.current = [];
  };

  useLayoutEffect(() => {
    const w = wanted.current;
    if (!w) {
      if (hasFocus && (document.activeElement ?? document.body) === document.body)
        elementAt(index)?.focus({ preventScroll: true });
      return;
    }
    const i = indexOfWanted(w, rows, { hasBefore, hasAfter });
    if (i < 0) {
      if (w.isLoaded) giveUp();
      return;
    }
    if (w.to === "beyond") waiting.current.unshift(w.action);
    else {
      if (i !== index) return setCurrent(toCurrent(rows[i]!)); // is rendered first, wherever it is
      const e = elementAt(i);
      if (!e) return;
      e.focus({ preventScroll: true });
      if (w.to === "first") showStart();
      if (w.to === "row") {
        reveal(e.parentElement!);
        follows.current = true;
      }
    }
    wanted.current = null;
    queueMicrotask(() => actNext.current()); // with these rows, and not within their rendering
  }, [turn, current, index, hasFocus, rows, hasBefore, hasAfter, elementAt, reveal, showStart]);

  /** The message with which one begins who comes from elsewhere: where they were, if that is
   * in view, or else the last one in view. */
  const enter = () => {
    const box = scroller.current!.getBoundingClientRect();
    const isInView = (e: Element) => {
      const { top, bottom } = e.getBoundingClientRect();
      return bottom > box.top && top < box.bottom && (bottom <= box.bottom + 1 || top <= box.top);
    };
    const here = elementAt(index);
    if (here && isInView(here)) return here.focus({ preventScroll: true });
    const all = [...scroller.current!.querySelectorAll<HTMLElement>("[data-index] > article")];
    const byPosition = all.sort((a, b) => indexOf(b) - indexOf(a));
    (byPosition.find(isInView) ?? byPosition[0])?.focus({ preventScroll: true });
  };

  const onFocus = (e: FocusEvent) => {
    if (e.target === scroller.current) return enter();
    const row = rows[indexOf(e.target)];
    if (!row || !isFocusable(row)) return;
    if (row.key !== current?.key) setCurrent(toCurrent(row));
    setHasFocus(true);
  };
  const onBlur = (e: FocusEvent) => {
    // The window itself was left: the message has the focus again when one comes back.
    if (!document.hasFocus()) return;
    if (scroller.current?.contains(e.relatedTarget)) return;
    setHasFocus(false);
    if (e.relatedTarget) giveUp(); // the person has gone elsewhere
  };

  const goTo = (i: number) => want({ to: "row", row: toCurrent(rows[i]!) });
  /** Loads what is beyond an edge, and goes on there; reports whether there is something. */
  const goBeyond = (step: 1 | -1, action: Action) => {
    if (!(step > 0 ? hasAfter : hasBefore)) return false;
    want({ to: "beyond", edge: edgeOf(rows, step), step, action }, loadMore(step));
    return true;
  };
  const move = (from: number, step: 1 | -1, action: Action) => {
    const e = elementAt(from);
    if (e && scrollInside(e.parentElement!, scroller.current!, step)) return;
    const to = nextRow(rows, from, step);
    if (to >= 0) goTo(to);
    else goBeyond(step, action);
  };
  const movePage = (from: number, step: 1 | -1, action: Action) => {
    const l = list.current;
    if (!l) return;
    const height = scroller.current!.clientHeight;
    const near = l.findItemIndex(l.getItemOffset(from) + step * height);
    // At least one, and not past what is loaded.
    const beyond = step > 0 ? Math.max(near, from + 1) : Math.min(near, from - 1);
    const to = nextRow(rows, beyond - step, step);
    const target = to >= 0 ? to : nextRow(rows, step > 0 ? rows.length : -1, step > 0 ? -1 : 1);
    if (target === from || target < 0) goBeyond(step, action);
    else goTo(target);
  };
  /** Moves to what is inside of a message; reports whether there is more. */
  const moveInside = (row: HTMLElement, from: Element, step: 1 | -1) => {
    const stops: HTMLElement[] = [row, ...row.querySelectorAll<HTMLElement>(controls)];
    const to = stops[stops.findIndex((e) => e === from) + step];
    to?.focus();
    return to !== undefined;
  };

  const onKeyDown = (e: KeyboardEvent) => {
    const at = indexOf(e.target);
    const row = rows[at];
    const element = elementAt(at);
    if (!row || !element) return;
    const action = actionOf("messages", e);
    if (!action) return;
    if (wanted.current) {
      if (!leaves.has(action)) {
        // A key that is held goes as fast as it can; one that is pressed counts.
        if (!e.repeat) waiting.current.push(action);
        return e.preventDefault();
      }
      giveUp();
    }
    if (act(action, at, row, element, e.target as HTMLElement)) e.preventDefault();
  };
  useLayoutEffect(() => {
    actNext.current = () => {
      while (!wanted.current) {
        const action = waiting.current.shift();
        if (!action) return;
        const element = document.activeElement;
        const at = element && scroller.current?.contains(element) ? indexOf(element) : -1;
        const row = rows[at];
        if (!row) return giveUp();
        act(action, at, row, elementAt(at)!, element as HTMLElement);
      }
    };
  });
  const act = (action: Action, at: number, row: Row, element: HTMLElement, target: HTMLElement): boolean => {
    switch (action) {
      case "previous":
        move(at, -1, action);
        return true;
      case "next":
        move(at, 1, action);
        return true;
      case "pageUp":
        movePage(at, -1, action);
        return true;
      case "pageDown":
        movePage(at, 1, action);
        return true;
      case "first":
        want({ to: "first" }, loadStart());
        return true;
      case "last":
        want({ to: "last" }, goToEnd());
        return true;
      case "inside":
        return moveInside(element, target, 1);
      case "backInside":
        return target !== element && moveInside(element, target, -1);
      default:
        // On a link or a button, Enter is for that.
        return !(action === "menu" && target !== element) && onAction(action, row);
    }
  };

  return {
    /** The index of the row that stays in the document, -1 for none. */
    kept: hasFocus || wanted.current ? index : -1,
    /** The key of the row that the tab key comes to, while the focus is in the timeline. */
    tabbable: hasFocus && index >= 0 ? rows[index]!.key : null,
    handlers: { onFocus, onBlur, onKeyDown },
    /** Moves the focus to a message as soon as it is loaded, if the timeline has the focus. */
    follow: useCallback(
      (seq: number, loading: Promise<void>) => {
        if (scroller.current?.contains(document.activeElement)) want({ to: "seq", seq }, loading);
      },
      [scroller, want],
    ),
    /** Has the tab key come to the last message in view, wherever it was before, unless a
     * message has the focus. */
    forget: useCallback(() => {
      if (!scroller.current?.contains(document.activeElement)) setCurrent(null);
    }, [scroller]),
    /** Goes to the last message, and moves the focus there as soon as it is loaded. */
    focusLast: () => {
      setHasFocus(true);
      want({ to: "last" }, goToEnd());
    },
    /** The row with the focus stays in view while the rows on the way to it get their size. */
    onResize: () => {
      const e = follows.current && hasFocus ? elementAt(index) : undefined;
      if (e) reveal(e.parentElement!);
    },
    onScrollEnd: () => {
      follows.current = false;
    },
  };
}

/** What acts at once while the focus is on its way, which ends there. */
const leaves: ReadonlySet<Action> = new Set<Action>(["inside", "backInside", "write"]);

/** The key of the first or the last message, "" for none. */
const edgeOf = (rows: Row[], step: 1 | -1) =>
  rows[step > 0 ? nextRow(rows, rows.length, -1) : nextRow(rows, -1, 1)]?.key ?? "";

const toCurrent = (row: Row): CurrentRow => ({ key: row.key, seq: seqOf(row) });

/** Returns where what is wanted is, or, of what is beyond an edge, where that begins; -1 if it
 * is not there. */
function indexOfWanted(
  w: Goal,
  rows: Row[],
  { hasBefore, hasAfter }: { hasBefore: boolean; hasAfter: boolean },
) {
  switch (w.to) {
    case "first":
      return hasBefore ? -1 : nextRow(rows, -1, 1);
    case "last":
      return hasAfter ? -1 : nextRow(rows, rows.length, -1);
    case "beyond":
      return edgeOf(rows, w.step) === w.edge ? -1 : rows.findIndex((r) => r.key === edgeOf(rows, w.step));
    case "row":
      return rows.findIndex((r) => r.key === w.row.key);
    case "seq":
      return rows.findIndex((r) => r.kind === "message" && r.message.seq === w.seq);
  }
}

/** Scrolls a row of which more is to come in a direction; reports whether it did. */
function scrollInside(row: Element, scroller: Element, step: 1 | -1): boolean {
  const box = scroller.getBoundingClientRect();
  const { top, bottom } = row.getBoundingClientRect();
  const hidden = step > 0 ? bottom - box.bottom : box.top - top;
  const isInView = step > 0 ? top < box.bottom : bottom > box.top;
  if (hidden <= 1 || !isInView || bottom - top <= box.height) return false;
  scroller.scrollBy({ top: step * Math.min(hidden, box.height / 2) });
  return true;
}
