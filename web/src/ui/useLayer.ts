import { useLayoutEffect, useRef } from "react";

/** What is open over the page, the topmost last. */
const layers: object[] = [];

type Details = { reason: string; event: Event; cancel: () => void; allowPropagation: () => void };

/** Returns the onOpenChange of a dialog, a card or a menu. The key that closes it closes
 * the topmost one and nothing below: the library asks those first that have the focus, and
 * for a moment that is the one below. */
export function useLayer(isOpen: boolean, onClose: () => void) {
  const layer = useRef<object>(null);
  useLayoutEffect(() => {
    if (!isOpen) return;
    const me = (layer.current = {});
    layers.push(me);
    return () => void layers.splice(layers.indexOf(me), 1);
  }, [isOpen]);
  return (open: boolean, details: Details) => {
    if (open) return;
    if (details.reason === "escape-key") {
      if (layers.at(-1) !== layer.current) {
        details.cancel();
        details.allowPropagation();
        return;
      }
      // The one below would be the topmost when it is asked next.
      details.event.stopImmediatePropagation();
    }
    onClose();
  };
}
