// The page's service worker, which keeps the page for the time without a network, and
// shows notifications. Its code is in web/worker.
import type { Locks } from "../sync/senderlock";

/** Whether this browser gives the page a worker: not by plain HTTP. */
export const hasWorkers = () => window.isSecureContext && "serviceWorker" in navigator;

/** The browser's locks, where a page that is loaded without the server could show what the
 * device has kept. */
export function copyLocks(): Locks | undefined {
  return hasWorkers() ? (navigator as { locks?: Locks }).locks : undefined;
}

/** The page's root, below which everything of it is. */
const root = () => new URL(import.meta.env.BASE_URL, document.baseURI);

export async function getWorker(): Promise<ServiceWorkerRegistration | undefined> {
  return hasWorkers() ? navigator.serviceWorker.getRegistration(root()) : undefined;
}

/** Registers the worker, or has the browser look for a newer one. */
export function registerWorker(): Promise<ServiceWorkerRegistration> {
  // A copy in the browser's cache could be older than the page.
  return navigator.serviceWorker.register(new URL("sw.js", root()), { updateViaCache: "none" });
}

/** Waits for the worker of a registration; rejects when it cannot be installed, where the
 * browser's own promise would never settle. */
export function whenActive(registration: ServiceWorkerRegistration): Promise<ServiceWorkerRegistration> {
  const { active, waiting, installing } = registration;
  const { ready } = navigator.serviceWorker;
  if (active) return ready;
  const worker = waiting ?? installing;
  const failed = new Promise<never>((_, reject) => {
    const check = () => {
      if (!worker || worker.state === "redundant")
        reject(new Error("the page's service worker could not be installed; try again later"));
    };
    worker?.addEventListener("statechange", check);
    check();
  });
  return Promise.race([ready, failed]);
}
