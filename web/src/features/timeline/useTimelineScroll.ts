import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import type { VListHandle } from "virtua";
import { useClient, useSession } from "../../state/context";
import { firstSeq, lastSeq, type Timeline } from "../../sync/timeline";
import type { Row } from "./rows";
import { frontChanged, initialScroll, lastVisibleSeq, scrollForRows, scrollForViewport } from "./scroll";

/** How long a message stays highlighted after the jump to it. */
const highlightTime = 2000;
/** What is in view for a moment only is not marked as read. */
const readDelay = 150;

type Options = {
  conversation: string;
  timeline: Timeline | undefined;
  rows: Row[];
  /** Whether something of the conversation was read before it was opened. */
  hasRead: boolean;
};

/** Scrolls a timeline, loads its pages, and marks what is in view as read.
 * The decisions are those of scroll.ts. */
export function useTimelineScroll({ conversation, timeline, rows, hasRead }: Options) {
  const { timelines } = useSession();
  const list = useRef<VListHandle>(null);
  const scroll = useRef(initialScroll(rows));
  const [away, setAway] = useState(false);
  const [highlighted, setHighlighted] = useState(0);
  const latestRows = useRef(rows);
  useLayoutEffect(() => {
    latestRows.current = rows;
  });

  const range = { first: timeline ? firstSeq(timeline) : 0, last: timeline ? lastSeq(timeline) : 0 };
  const previousRange = useRef(range);
  const keepPosition = frontChanged(previousRange.current, range);
  useLayoutEffect(() => {
    previousRange.current = range;
  });

  const loaded = timeline !== undefined;
  useLayoutEffect(() => {
    const { state, target, follows } = scrollForRows(scroll.current, rows, { loaded, hasRead });
    scroll.current = state;
    if (target) list.current?.scrollToIndex(target.index, { align: target.align });
    if (follows) timelines.trimOldest(conversation);
  }, [timelines, conversation, rows, loaded, hasRead]);

  const markVisibleRead = useMarkRead(conversation, list, rows);

  const hasAfter = timeline?.hasAfter ?? false;
  const onScroll = useCallback(() => {
    const l = list.current;
    if (!l || !scroll.current.positioned) return;
    const viewport = { offset: l.scrollOffset, height: l.viewportSize, contentHeight: l.scrollSize };
    const decision = scrollForViewport(scroll.current, viewport, hasAfter);
    scroll.current = decision.state;
    setAway(decision.away);
    if (decision.loadOlder) void timelines.loadOlder(conversation).catch(() => {});
    if (decision.loadNewer) void timelines.loadNewer(conversation).catch(() => {});
    markVisibleRead();
  }, [timelines, conversation, hasAfter, markVisibleRead]);

  const jumpTo = useCallback(
    async (seq: number) => {
      await timelines.open(conversation, seq).catch(() => {});
      setHighlighted(seq);
      setTimeout(() => setHighlighted(0), highlightTime);
      requestAnimationFrame(() => {
        const index = latestRows.current.findIndex((r) => r.kind === "message" && r.message.seq === seq);
        if (index >= 0) list.current?.scrollToIndex(index, { align: "center" });
      });
    },
    [timelines, conversation],
  );

  const jumpToLatest = async () => {
    if (hasAfter) await timelines.openLatest(conversation).catch(() => {});
    requestAnimationFrame(() => list.current?.scrollToIndex(Number.MAX_SAFE_INTEGER, { align: "end" }));
  };

  return { list, range, keepPosition, onScroll, away: away || hasAfter, highlighted, jumpTo, jumpToLatest };
}

/** Returns a function that marks what is in view as read, as long as the user
 * can see it; it is also called when the rows change and the page gets visible. */
function useMarkRead(conversation: string, list: RefObject<VListHandle | null>, rows: Row[]) {
  const { push } = useClient();
  const { marks } = useSession();
  const markVisibleRead = useCallback(() => {
    const l = list.current;
    if (!l || document.visibilityState !== "visible" || !document.hasFocus()) return;
    const seq = lastVisibleSeq(rows, l.findItemIndex(l.scrollOffset + l.viewportSize - 1));
    if (seq > 0) marks.markRead(conversation, seq);
  }, [marks, conversation, list, rows]);
  useEffect(() => {
    const onVisible = () => {
      markVisibleRead();
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
  }, [push, markVisibleRead, conversation]);
  return markVisibleRead;
}
