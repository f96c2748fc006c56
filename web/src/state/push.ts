// Notifications on this device, while no page is open: the browser's
// subscription, and that the server knows it. The service worker that shows
// them is public/push.js.
import { create } from "zustand";
import { deleteSubscription, pushKey, putSubscription } from "../net/push";
import { Problem } from "../net/rest";
import { useApp } from "./app";
import { go, useRoute } from "./route";

/** hidden: the installation does not push, or it is not known yet. */
export type PushState = "hidden" | "unsupported" | "denied" | "off" | "on";

export const usePush = create<{ state: PushState }>()(() => ({ state: "hidden" }));
const set = (state: PushState) => usePush.setState({ state });

/** Whose notifications this device shows. It outlives a session that ended by
 * itself, so that the same person has them again after the next log-in. */
const wanted = "hikyaku-push";

const supported = () =>
  window.isSecureContext &&
  "serviceWorker" in navigator &&
  "PushManager" in window &&
  "Notification" in window;

const registered = async () => (supported() ? await navigator.serviceWorker.getRegistration("/") : undefined);

// One after the other: a log-out while a log-in still subscribes must find
// the subscription.
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const next = last.then(task, task);
  last = next.catch(() => {});
  return next;
}

/** Finds out how things are; they change in the browser's settings too. */
export async function lookAtPush(user: string) {
  try {
    await pushKey();
  } catch {
    return set("hidden");
  }
  if (!supported()) return set("unsupported");
  if (Notification.permission === "denied") return set("denied");
  await inTurn(async () => {
    const subscription = await (await registered())?.pushManager.getSubscription();
    set(subscription && localStorage.getItem(wanted) === user ? "on" : "off");
  });
}

/** Asks the person, subscribes, and tells the server. */
export async function switchPushOn(user: string) {
  // At once: browsers ask only while they see the click.
  const permission = await Notification.requestPermission();
  if (permission !== "granted") return set(permission === "denied" ? "denied" : "off");
  await inTurn(async () => {
    await subscribe();
    localStorage.setItem(wanted, user);
    set("on");
  });
}

/** Ends it for good, on the server first: without it, it would push to nobody
 * until the push service tells. */
export async function switchPushOff() {
  localStorage.removeItem(wanted);
  await inTurn(async () => {
    const registration = await registered();
    const subscription = await registration?.pushManager.getSubscription();
    if (subscription) await deleteSubscription(subscription.endpoint).catch(() => {});
    await forget(registration);
    set("off");
  });
}

/** A person logged in: what they chose holds again, and what another person
 * chose ends. */
export async function resumePush(user: string) {
  await inTurn(async () => {
    if (!supported()) return;
    if (localStorage.getItem(wanted) === user && Notification.permission === "granted") await subscribe();
    else await forget(await registered());
  });
}

/** The session has ended: nothing more is shown, and the server need not be
 * told. */
export const pausePush = () => inTurn(async () => forget(await registered()));

/** Takes away the notifications of a conversation that is in view here. */
export async function closeNotifications(conversation: string) {
  if (!localStorage.getItem(wanted)) return;
  const shown = await (await registered())?.getNotifications({ tag: conversation });
  for (const n of shown ?? []) n.close();
}

async function forget(registration: ServiceWorkerRegistration | undefined) {
  if (!registration) return;
  const subscription = await registration.pushManager.getSubscription();
  await subscription?.unsubscribe();
  for (const n of await registration.getNotifications()) n.close();
}

async function subscribe() {
  const key = bytes(await pushKey());
  let subscription: PushSubscription | null;
  let fresh = false;
  try {
    await navigator.serviceWorker.register("/push.js");
    const { pushManager } = await navigator.serviceWorker.ready;
    subscription = await pushManager.getSubscription();
    // The installation has new keys.
    if (subscription && !sameKey(subscription.options?.applicationServerKey, key)) {
      await subscription.unsubscribe();
      subscription = null;
    }
    if (!subscription) {
      subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
      fresh = true;
    }
  } catch (e) {
    throw new Problem(0, "push", (e as Error).message);
  }
  const { endpoint, keys } = subscription.toJSON();
  try {
    await putSubscription({
      endpoint: endpoint ?? subscription.endpoint,
      keys: { p256dh: keys?.p256dh ?? "", auth: keys?.auth ?? "" },
    });
  } catch (e) {
    if (fresh) await subscription.unsubscribe().catch(() => {});
    throw e;
  }
}

function bytes(base64url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
}

function sameKey(a: ArrayBuffer | null | undefined, b: Uint8Array): boolean {
  if (!a) return true; // the browser does not say
  const x = new Uint8Array(a);
  return x.length === b.length && x.every((v, i) => v === b[i]);
}

/** Answers the service worker: which conversation is shown here; and goes
 * where a notification was clicked. */
export function answerWorker() {
  navigator.serviceWorker?.addEventListener("message", (e: MessageEvent) => {
    const question = e.data as { type?: string; conversation?: string };
    if (question.type === "where")
      e.ports[0]?.postMessage({
        conversation: useApp.getState().me ? useRoute.getState().conversation : null,
      });
    if (question.type === "open" && question.conversation)
      go("/c/" + encodeURIComponent(question.conversation));
  });
}
