import { useSyncExternalStore } from "react";

/** A device that sleeps stops its timers, and its time zone may change: so the date is
 * looked at again after this time at most, in milliseconds. */
const maxWait = 60_000;

const startOfToday = () => new Date().setHours(0, 0, 0, 0);

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setTimeout>;

function look() {
  clearTimeout(timer);
  for (const f of listeners) f();
  const midnight = new Date().setHours(24, 0, 0, 0);
  timer = setTimeout(look, Math.min(midnight - Date.now(), maxWait));
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  if (listeners.size === 1) {
    document.addEventListener("visibilitychange", look);
    look();
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    document.removeEventListener("visibilitychange", look);
    clearTimeout(timer);
  };
}

/** Returns the time at which the local day has begun, and renders again when another one
 * does: for what is called today or yesterday. */
export function useToday(): number {
  return useSyncExternalStore(subscribe, startOfToday);
}
