/** Calls f when the page has drawn and has nothing else to do; after a time, in
 * milliseconds, in any case. */
export function whenIdle(f: () => void, timeout?: number) {
  if ("requestIdleCallback" in globalThis) requestIdleCallback(f, { timeout });
  else setTimeout(f, 1000); // Safari
}
