import { useEffect, useLayoutEffect, useRef, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { useApp } from "../../state/app";
import { getListPlace, setListPlace } from "../../state/places";

/** Keeps the list where it is over a reload: at the row that was the first in view. */
export function useListPlace(order: readonly string[], list: RefObject<VirtualizerHandle | null>) {
  const me = useApp((s) => s.me)!.id;
  const ready = useApp((s) => s.ready);
  const goal = useRef(getListPlace(me));
  const latest = useRef(order);
  latest.current = order;

  useLayoutEffect(() => {
    const { current: place } = goal;
    const l = list.current;
    if (!place || !l) return;
    const i = order.indexOf(place.conversation);
    if (i < 0 && !ready) return; // it may be on the list's next page
    goal.current = undefined;
    if (i >= 0 && l.scrollOffset <= 0) l.scrollToIndex(i, { offset: place.offset });
  }, [order, ready, list]);

  useEffect(() => {
    const save = () => {
      const l = list.current;
      // A list that is not in view, behind a conversation on a phone, is nowhere.
      if (!l || l.viewportSize === 0 || goal.current) return;
      const first = l.findItemIndex(l.scrollOffset);
      const conversation = latest.current[first];
      const offset = l.scrollOffset - l.getItemOffset(first);
      setListPlace(me, conversation && l.scrollOffset > 0 ? { conversation, offset } : undefined);
    };
    // A phone may end a page that is hidden without a word.
    document.addEventListener("visibilitychange", save);
    window.addEventListener("pagehide", save);
    return () => {
      document.removeEventListener("visibilitychange", save);
      window.removeEventListener("pagehide", save);
    };
  }, [me, list]);
}
