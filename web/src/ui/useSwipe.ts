import { useEffect, useMemo, useRef, type PointerEvent } from "react";

/** How far a finger moves until it is seen whether it swipes or scrolls, in CSS pixels. */
const slop = 10;
/** How far it swipes until letting go counts. */
export const swipeDistance = 56;
/** How far the element follows it. */
const maxFollow = 80;
/** As wide are the edges of the screen that belong to the system's own gesture for going
 * back: those of Android at most. */
const systemEdge = 32;

type Swipe = { element: HTMLElement; id: number; x: number; y: number; begun: boolean };

/** Returns what an element needs so that a swipe from right to left over what matches a
 * selector in it calls onSwipe. What is swiped has data-swipe meanwhile: "begun", or
 * "reached" when letting go counts; and --swipe, how far it is. The touch-action of what
 * is swiped must leave moves to the side to the page; what scrolls in it by itself does
 * that instead. */
export function useSwipe(selector: string, onSwipe: (element: HTMLElement) => void) {
  const latest = useRef(onSwipe);
  useEffect(() => {
    latest.current = onSwipe;
  });
  const current = useRef<Swipe | null>(null);
  const handlers = useMemo(() => {
    const end = () => {
      const element = current.current?.element;
      current.current = null;
      element?.removeAttribute("data-swipe");
      element?.style.removeProperty("--swipe");
    };
    return {
      onPointerDown: (e: PointerEvent) => {
        end();
        const element = (e.target as Element).closest<HTMLElement>(selector);
        const isAtEdge = e.clientX < systemEdge || e.clientX > window.innerWidth - systemEdge;
        if (e.pointerType !== "touch" || !e.isPrimary || !element || isAtEdge) return;
        current.current = { element, id: e.pointerId, x: e.clientX, y: e.clientY, begun: false };
      },
      onPointerMove: (e: PointerEvent) => {
        const swipe = current.current;
        if (!swipe || e.pointerId !== swipe.id) return;
        const left = swipe.x - e.clientX;
        if (!swipe.begun) {
          const aside = Math.abs(e.clientY - swipe.y);
          if (Math.max(Math.abs(left), aside) < slop) return;
          if (left < 2 * aside) return end(); // it scrolls, or goes the other way
          swipe.begun = true;
        }
        swipe.element.dataset.swipe = left >= swipeDistance ? "reached" : "begun";
        swipe.element.style.setProperty("--swipe", String(Math.min(Math.max(left, 0), maxFollow)));
      },
      onPointerUp: (e: PointerEvent) => {
        const swipe = current.current;
        if (e.pointerId !== swipe?.id) return;
        const { element } = swipe;
        const isReached = element.dataset.swipe === "reached";
        end();
        if (isReached) latest.current(element);
      },
      // The browser scrolls, or another finger zooms.
      onPointerCancel: end,
    };
  }, [selector]);
  useEffect(() => () => handlers.onPointerCancel(), [handlers]);
  return handlers;
}
