import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { VirtualizerHandle } from "virtua";
import { useApp } from "../../state/app";
import { useClient, useSession } from "../../state/context";
import { setPlace, type Anchor, type Place, type Skipped } from "../../state/places";
import { firstSeq, lastSeq, type Timeline } from "../../sync/timeline";
import type { Row } from "./rows";
import {
  anchorAt,
  frontChanged,
  initialScroll,
  lastVisibleSeq,
  offsetToShow,
  readInView,
  scrollForRows,
  scrollForSize,
  scrollForViewport,
  type Goal,
} from "./scroll";

/** How long a message stays highlighted after the jump to it. */
const highlightTime = 2000;
/** What is in view for a moment only is not marked as read. */
const readDelay = 150;
/** How long the list may take to a row before its position counts, in milliseconds. */
const maxArrival = 500;

type Options = {
  conversation: string;
  timeline: Timeline | undefined;
  /** The seq of the conversation's latest message. */
  lastMessage: number;
  /** Whether the timeline is the one to begin with. */
  opened: boolean;
  rows: Row[];
  /** Where the user was before, if that is known. */
  place: Place | undefined;
  skipped: Skipped | undefined;
  /** Called when the user has come to what was skipped. */
  onSkippedSeen: () => void;
  /** The seq of the message that is edited or replied to, which stays in view; 0 for none. */
  subject: number;
};

/** Scrolls a timeline, loads its pages, and marks what is in view as read.
 * The decisions are those of scroll.ts. */
export function useTimelineScroll(options: Options) {
  const { conversation, timeline, lastMessage, rows, skipped, onSkippedSeen, subject } = options;
  const { timelines } = useSession();
  const me = useApp((s) => s.me)!.id;
  const connection = useApp((s) => s.connection);
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const [start] = useState((): Goal => {
    const anchor = options.place?.anchor;
    return anchor ? { to: "anchor", anchor } : { to: "unread" };
  });
  const scroll = useRef(initialScroll(start));
  const [away, setAway] = useState(false);
  const [highlighted, setHighlighted] = useState(0);
  const hasAfter = timeline?.hasAfter ?? false;
  const missing = timeline?.hasAfter ? Math.max(1, lastMessage - lastSeq(timeline)) : 0;
  const loaded = timeline !== undefined && options.opened;
  /** What is shown, for what happens between two renderings. */
  const shown = useRef({ rows, missing, skipped, subject });
  /** Where the user is, once that is known. */
  const anchor = useRef<Anchor | undefined>(options.place?.anchor);
  /** Whether the latest messages could not be loaded for who wanted to see them. What
   * the user has written offline is shown meanwhile, and would vanish once stored. */
  const triesLatestAgain = useRef(false);
  /** Whether the subject was in view when the position was seen last. */
  const hasSubjectInView = useRef(false);

  const range = { first: timeline ? firstSeq(timeline) : 0, last: timeline ? lastSeq(timeline) : 0 };
  const previousRange = useRef(range);
  const keepPosition = frontChanged(previousRange.current, range);
  useLayoutEffect(() => {
    shown.current = { rows, missing, skipped, subject };
    previousRange.current = range;
  });

  const viewport = useCallback(() => {
    const e = scroller.current;
    return { offset: e?.scrollTop ?? 0, height: e?.clientHeight ?? 0, contentHeight: e?.scrollHeight ?? 0 };
  }, []);

  /** The timer of the way to a row, while the list is on it: it measures rows on the way. */
  const arrival = useRef<ReturnType<typeof setTimeout>>(undefined);

  /** Whether the list was sent to a row. As it measures rows it goes on to that one, unless
   * it is sent elsewhere. */
  const isSent = useRef(false);

  /** Whether the list is where it is to be: until then its position says nothing. */
  const isPositioned = useCallback(() => {
    const to = scroll.current.goal?.to;
    return scroller.current !== null && arrival.current === undefined && (to === undefined || to === "end");
  }, []);

  const subjectEdges = useCallback(() => {
    const { rows, subject } = shown.current;
    const index = subject > 0 ? rows.findIndex((r) => r.kind === "message" && r.message.seq === subject) : -1;
    if (!list.current || index < 0) return undefined;
    const top = list.current.getItemOffset(index);
    return { top, bottom: top + list.current.getItemSize(index) };
  }, []);

  const readTo = useCallback(() => {
    const l = list.current;
    if (!l || !isPositioned()) return 0;
    const { rows, skipped } = shown.current;
    const { offset, height } = viewport();
    const first = anchorAt(rows, l.findItemIndex(offset), () => 0)?.seq ?? 0;
    const last = lastVisibleSeq(rows, l.findItemIndex(offset + height - 1));
    const decision = readInView(skipped, first, last);
    if (skipped && !decision.skipped) onSkippedSeen();
    return decision.read;
  }, [isPositioned, onSkippedSeen, viewport]);
  const markInViewRead = useMarkRead(conversation, rows, readTo);

  /** Takes in where the list is scrolled to. */
  const look = useCallback(() => {
    const l = list.current;
    if (!l || !isPositioned()) return undefined;
    const v = viewport();
    const { rows, missing } = shown.current;
    const decision = scrollForViewport(scroll.current, v, missing);
    scroll.current = decision.state;
    anchor.current = decision.state.atEnd
      ? undefined
      : anchorAt(rows, l.findItemIndex(v.offset), (i) => l.getItemOffset(i) - v.offset);
    const edges = subjectEdges();
    hasSubjectInView.current = !!edges && edges.bottom > v.offset && edges.top < v.offset + v.height;
    setAway(decision.away);
    return decision;
  }, [isPositioned, subjectEdges, viewport]);

  /** Scrolls, and lets the list know at once rather than in the next frame: the rows that
   * are in view then are in the document before anything is painted. */
  const scrollTo = useCallback((offset: number) => {
    const e = scroller.current;
    if (!e) return;
    e.scrollTop = offset;
    e.dispatchEvent(new Event("scroll"));
  }, []);

  const showSubject = useCallback(() => {
    const edges = subjectEdges();
    const offset = edges && offsetToShow(viewport(), edges.top, edges.bottom);
    if (offset !== undefined) scrollTo(offset);
  }, [scrollTo, subjectEdges, viewport]);

  /** Scrolls until an element of the list is in view, for who goes to it by keys. */
  const reveal = useCallback(
    (e: Element) => {
      if (!scroller.current) return;
      const v = viewport();
      const box = e.getBoundingClientRect();
      const top = v.offset + box.top - scroller.current.getBoundingClientRect().top;
      const offset = offsetToShow(v, top, top + box.height);
      if (offset === undefined) return;
      // This is the person's doing, also where rows get their size on the way.
      if (offset < v.offset) scroll.current = { ...scroll.current, goal: undefined, atEnd: false };
      scrollTo(offset);
    },
    [scrollTo, viewport],
  );

  /** Looks, and loads what is near. */
  const lookAround = useCallback(() => {
    const decision = look();
    if (!decision) return;
    if (decision.away) triesLatestAgain.current = false;
    if (decision.loadOlder) void timelines.loadOlder(conversation).catch(() => {});
    if (decision.loadNewer) void timelines.loadNewer(conversation).catch(() => {});
  }, [timelines, conversation, look]);

  const onScroll = useCallback(() => {
    lookAround();
    markInViewRead();
  }, [lookAround, markInViewRead]);

  const onResize = useCallback(() => {
    const hadSubject = hasSubjectInView.current;
    flushSync(() => {
      const offset = scrollForSize(scroll.current, viewport());
      if (offset === undefined) look();
      else scrollTo(offset);
      if (hadSubject) showSubject();
    });
  }, [look, scrollTo, showSubject, viewport]);

  const arrive = useCallback(() => {
    if (arrival.current === undefined) return;
    clearTimeout(arrival.current);
    arrival.current = undefined;
    onScroll();
  }, [onScroll]);
  useEffect(() => () => clearTimeout(arrival.current), []);

  const pursueGoal = useCallback(() => {
    const { rows, missing } = shown.current;
    const { height } = viewport();
    const { state, target } = scrollForRows(scroll.current, rows, { loaded, missing, height });
    scroll.current = state;
    if (target === "end") {
      clearTimeout(arrival.current);
      arrival.current = undefined;
      if (isSent.current) {
        isSent.current = false;
        // Below the last row there is nothing, however far that is.
        list.current?.scrollToIndex(rows.length - 1, { align: "end", offset: 100 });
      }
      scrollTo(viewport().contentHeight);
      timelines.trimOldest(conversation);
    } else if (target) {
      clearTimeout(arrival.current);
      arrival.current = setTimeout(arrive, maxArrival); // a list that is there already does not scroll
      isSent.current = true;
      list.current?.scrollToIndex(target.index, { offset: target.offset });
      return;
    }
    lookAround();
  }, [timelines, conversation, loaded, lookAround, scrollTo, viewport, arrive]);
  useLayoutEffect(() => pursueGoal(), [rows, pursueGoal]);
  useLayoutEffect(() => {
    showSubject();
    look(); // whether it is in view, for when the composer grows over it
  }, [subject, showSubject, look]);

  const savePlace = useCallback(() => {
    const { goal } = scroll.current;
    if (arrival.current !== undefined || (goal && goal.to !== "end")) return; // the place is still the one that was saved before
    // A session that has ended leaves nothing behind.
    if (useApp.getState().me?.id !== me) return;
    setPlace(me, conversation, { anchor: anchor.current, skipped: shown.current.skipped });
  }, [me, conversation]);
  const onScrollEnd = useCallback(() => {
    arrive();
    savePlace();
  }, [arrive, savePlace]);
  useEffect(() => savePlace(), [skipped, savePlace]);
  useEffect(() => savePlace, [savePlace]);

  /** Loads the messages around a seq, and does what needs them in view. */
  const goNear = useCallback(
    async (seq: number, arrive: () => void) => {
      await timelines.open(conversation, seq).catch(() => {});
      requestAnimationFrame(arrive);
    },
    [timelines, conversation],
  );
  const jumpTo = useCallback(
    (seq: number) =>
      goNear(seq, () => {
        setHighlighted(seq);
        setTimeout(() => setHighlighted(0), highlightTime);
        const index = shown.current.rows.findIndex((r) => r.kind === "message" && r.message.seq === seq);
        if (index < 0) return;
        scroll.current = { ...scroll.current, goal: undefined, atEnd: false };
        isSent.current = true;
        list.current?.scrollToIndex(index, { align: "center" });
      }),
    [goNear],
  );
  const loadStart = useCallback(async () => {
    scroll.current = { ...scroll.current, goal: undefined, atEnd: false }; // not the end of what is loaded
    await timelines.open(conversation, 1).catch(() => look());
  }, [timelines, conversation, look]);
  /** Scrolls to the start of what is loaded, at once: whoever goes on from there, however
   * soon, begins there. */
  const showStart = useCallback(() => {
    scroll.current = { ...scroll.current, goal: undefined, atEnd: false };
    if (isSent.current) list.current?.scrollToIndex(0);
    isSent.current = false;
    scrollTo(0);
  }, [scrollTo]);
  const jumpToSkipped = useCallback(() => {
    const seq = shown.current.skipped?.from;
    if (!seq) return;
    void goNear(seq, () => {
      scroll.current = { ...scroll.current, goal: { to: "line", seq } };
      pursueGoal();
    });
  }, [goNear, pursueGoal]);
  /** Goes to the end. What is skipped on the way stays unread. */
  const jumpToLatest = useCallback(
    async (skips?: Skipped) => {
      const goal: Goal = { to: "end" };
      // The list tells of the scrolling before what is skipped is rendered.
      if (skips) shown.current = { ...shown.current, skipped: skips };
      scroll.current = { ...scroll.current, goal };
      triesLatestAgain.current = false;
      pursueGoal();
      if (shown.current.missing === 0) return;
      await timelines.openLatest(conversation).catch(() => {
        if (scroll.current.goal !== goal) return;
        scroll.current = { ...scroll.current, goal: undefined };
        triesLatestAgain.current = true;
      });
    },
    [timelines, conversation, pursueGoal],
  );
  useEffect(() => {
    if (connection !== "open") return;
    if (triesLatestAgain.current) void jumpToLatest();
    else lookAround(); // what could not be loaded
  }, [connection, jumpToLatest, lookAround]);

  /** Whether the end is in view. */
  const isAtEnd = useCallback(() => scroll.current.atEnd, []);

  return {
    scroller,
    list,
    range,
    keepPosition,
    onScroll,
    onScrollEnd,
    onResize,
    away: away || hasAfter,
    isAtEnd,
    highlighted,
    reveal,
    jumpTo,
    loadStart,
    showStart,
    jumpToLatest,
    jumpToSkipped,
  };
}

/** Returns a function that marks as read what readTo returns, as long as the user
 * can see it; it is also called when the rows change and the page gets visible. */
function useMarkRead(conversation: string, rows: Row[], readTo: () => number) {
  const { push } = useClient();
  const { marks } = useSession();
  const markRead = useCallback(() => {
    if (document.visibilityState !== "visible" || !document.hasFocus()) return;
    const seq = readTo();
    if (seq > 0) marks.markRead(conversation, seq);
  }, [marks, conversation, readTo]);
  useEffect(() => {
    const onVisible = () => {
      markRead();
      if (document.visibilityState === "visible") void push.closeNotifications(conversation).catch(() => {});
    };
    const timer = setTimeout(onVisible, readDelay);
    document.addEventListener("visibilitychange", onVisible);
    window.addEventListener("focus", onVisible);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
      window.removeEventListener("focus", onVisible);
    };
  }, [push, markRead, conversation, rows]);
  return markRead;
}
