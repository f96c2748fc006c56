import { useEffect, useMemo, useRef, type PointerEvent, type SyntheticEvent } from "react";

/** How long a press is long, in milliseconds, as Android and iOS have it. */
const longPressTime = 500;
/** How far a finger may move meanwhile, in CSS pixels. */
const tolerance = 10;

/** Returns what an element needs so that onLongPress is called with what a finger rests on.
 * Links keep the browser's own menu. */
export function useLongPress(onLongPress: (target: Element) => void) {
  const latest = useRef(onLongPress);
  useEffect(() => {
    latest.current = onLongPress;
  });
  const press = useRef<{ timer: ReturnType<typeof setTimeout>; x: number; y: number } | null>(null);
  const wasLong = useRef(false);
  const handlers = useMemo(() => {
    const cancel = () => {
      if (press.current) clearTimeout(press.current.timer);
      press.current = null;
    };
    return {
      onPointerDown: (e: PointerEvent) => {
        cancel();
        wasLong.current = false;
        const target = e.target as Element;
        if (e.pointerType !== "touch" || !e.isPrimary || target.closest("a")) return;
        const timer = setTimeout(() => {
          press.current = null;
          wasLong.current = true;
          latest.current(target);
        }, longPressTime);
        press.current = { timer, x: e.clientX, y: e.clientY };
      },
      onPointerMove: (e: PointerEvent) => {
        const p = press.current;
        if (p && Math.hypot(e.clientX - p.x, e.clientY - p.y) > tolerance) cancel();
      },
      onPointerUp: cancel,
      // The browser scrolls.
      onPointerCancel: cancel,
      // The end of a long press is no click: it would close what the press has opened.
      onTouchEnd: (e: SyntheticEvent) => {
        if (wasLong.current) e.preventDefault();
      },
      onContextMenu: (e: SyntheticEvent<Element, MouseEvent>) => {
        const native = e.nativeEvent as globalThis.PointerEvent;
        if (native.pointerType === "touch" && !(e.target as Element).closest("a")) e.preventDefault();
      },
    };
  }, []);
  useEffect(() => () => handlers.onPointerUp(), [handlers]);
  return handlers;
}
