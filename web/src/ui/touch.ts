import { useSyncExternalStore } from "react";

const coarse = window.matchMedia?.("(pointer: coarse)");

/** Reports whether the person points with a finger, and most likely types on the screen. */
export const isTouch = () => coarse?.matches ?? false;

function subscribe(listener: () => void) {
  coarse?.addEventListener("change", listener);
  return () => coarse?.removeEventListener("change", listener);
}

/** As isTouch, and renders again when that changes: a tablet may get a mouse. */
export function useTouch(): boolean {
  return useSyncExternalStore(subscribe, isTouch);
}
