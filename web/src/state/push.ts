// Push notifications on this device, for the time when no page is open: the
// browser's subscription, and the server's record of it. The service worker
// that shows them is in web/worker.
import { create } from "zustand";
import { currentTranslation } from "../i18n";
import { Problem, type RestClient } from "../net/rest";
import { setWorkerNote } from "../sync/workernote";
import { useApp } from "./app";
import { navigate, useRoute } from "./route";
import { getWorker, hasWorkers, registerWorker, whenActive } from "./worker";

/** hidden: the installation does not push, or that is not known yet. */
export type PushState = "hidden" | "unsupported" | "denied" | "off" | "on";

export const usePush = create<{ state: PushState }>()(() => ({ state: "hidden" }));

/** Under this key is the user whose notifications this device shows. It is kept
 * when a session expires, so that the same user has them again after the next
 * log-in. */
const enabledFor = "hikyaku-push";

const supported = () => hasWorkers() && "PushManager" in window && "Notification" in window;

const getRegistration = async () => (supported() ? await getWorker() : undefined);

const setState = (state: PushState) => usePush.setState({ state });

export class PushNotifications {
  private lastTask: Promise<unknown> = Promise.resolve();

  /** The client's requests are made for the users that are named: a subscription is
   * never registered for whoever happens to be logged in. */
  constructor(private readonly rest: RestClient) {}

  /** Refreshes the state; it changes in the browser's settings too. */
  async refreshState(user: string) {
    try {
      await this.fetchKey();
    } catch {
      return setState("hidden");
    }
    if (!supported()) return setState("unsupported");
    if (Notification.permission === "denied") return setState("denied");
    await this.enqueue(async () => {
      const subscription = await (await getRegistration())?.pushManager.getSubscription();
      setState(subscription && localStorage.getItem(enabledFor) === user ? "on" : "off");
    });
  }

  /** Asks the user for permission, subscribes, and registers the subscription with the server. */
  async enable(user: string) {
    // Before anything else: browsers ask only in response to a click.
    const permission = await Notification.requestPermission();
    if (permission !== "granted") return setState(permission === "denied" ? "denied" : "off");
    await this.enqueue(async () => {
      await this.subscribe(user);
      localStorage.setItem(enabledFor, user);
      setState("on");
    });
  }

  /** Removes the subscription for good, on the server first: the server would
   * otherwise push until the push service reports that the subscription is gone. */
  async disable(user: string) {
    localStorage.removeItem(enabledFor);
    await this.end(async () => {
      await silence(); // what an earlier task has begun
      const registration = await getRegistration();
      const subscription = await registration?.pushManager.getSubscription();
      if (subscription) await this.deleteSubscription(user, subscription.endpoint).catch(() => {});
      await unsubscribe(registration);
      setState("off");
    });
  }

  /** A user has logged in: their own choice applies again, that of another user ends. */
  async resume(user: string) {
    await this.enqueue(async () => {
      if (!supported()) return;
      if (localStorage.getItem(enabledFor) === user && Notification.permission === "granted")
        await this.subscribe(user);
      else await unsubscribe(await getRegistration());
    });
  }

  /** The session has ended: nothing more is shown. The server knows that itself. */
  suspend() {
    return this.end(async () => unsubscribe(await getRegistration()));
  }

  /** Closes the notifications of a conversation that is in view. */
  async closeNotifications(conversation: string) {
    if (!localStorage.getItem(enabledFor)) return;
    const shown = await (await getRegistration())?.getNotifications({ tag: conversation });
    for (const n of shown ?? []) n.close();
  }

  /** Runs a task after which nothing is shown. The worker is silent at once: an earlier
   * task may still wait for a server that does not answer. */
  private end(task: () => Promise<void>) {
    const silenced = silence();
    return this.enqueue(async () => {
      await silenced;
      await task();
    });
  }

  /** Runs tasks one after the other: a log-out while a log-in still subscribes
   * must find the subscription. */
  private enqueue<T>(task: () => Promise<T>): Promise<T> {
    const result = this.lastTask.then(task, task);
    this.lastTask = result.catch(() => {});
    return result;
  }

  /** Returns the key that a browser subscribes with; a Problem with status 404
   * when the installation does not push. */
  private async fetchKey() {
    return (await this.rest.get<{ public_key: string }>("/push")).public_key;
  }

  private deleteSubscription(user: string, endpoint: string) {
    return this.rest.for(user).delete<void>("/push/subscription", { endpoint });
  }

  private async subscribe(user: string) {
    const key = decodeBase64Url(await this.fetchKey());
    let subscription: PushSubscription | null;
    let created = false;
    try {
      const { pushManager } = await whenActive(await registerWorker());
      // The worker acts for the user as well.
      const { t } = currentTranslation();
      const words = { reply: t("reply"), notSent: t("replyNotSent"), notKept: t("replyNotKept") };
      await setWorkerNote({ account: user, words });
      subscription = await pushManager.getSubscription();
      // The installation may have new keys.
      if (subscription && !sameKey(subscription.options?.applicationServerKey, key)) {
        await subscription.unsubscribe();
        subscription = null;
      }
      if (!subscription) {
        subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
        created = true;
      }
    } catch (e) {
      throw new Problem(0, "push", (e as Error).message);
    }
    const { endpoint, keys } = subscription.toJSON();
    try {
      await this.rest.for(user).put<void>("/push/subscription", {
        endpoint: endpoint ?? subscription.endpoint,
        keys: { p256dh: keys?.p256dh ?? "", auth: keys?.auth ?? "" },
      });
    } catch (e) {
      if (created) await subscription.unsubscribe().catch(() => {});
      throw e;
    }
  }
}

async function unsubscribe(registration: ServiceWorkerRegistration | undefined) {
  if (!registration) return;
  await silence();
  try {
    const subscription = await registration.pushManager.getSubscription();
    await subscription?.unsubscribe();
  } finally {
    await silence(); // what was shown meanwhile
  }
}

/** Has the worker act for nobody, and closes its notifications, as far as the browser can. */
async function silence() {
  const registration = await getRegistration().catch(() => undefined);
  if (!registration) return;
  await setWorkerNote(null).catch(() => {});
  for (const n of await registration.getNotifications().catch(() => [])) n.close();
}

function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
}

function sameKey(a: ArrayBuffer | null | undefined, b: Uint8Array): boolean {
  if (!a) return true; // some browsers do not report it
  const x = new Uint8Array(a);
  return x.length === b.length && x.every((v, i) => v === b[i]);
}

/** Answers the service worker's messages: it asks which conversation is in view
 * here, and has the page open the conversation of a notification that was clicked. */
export function answerServiceWorker() {
  navigator.serviceWorker?.addEventListener("message", (e: MessageEvent) => {
    const message = e.data as { type?: string; conversation?: string };
    if (message.type === "where")
      e.ports[0]?.postMessage({
        conversation: useApp.getState().me ? useRoute.getState().conversation : null,
      });
    if (message.type === "open" && message.conversation)
      navigate("/c/" + encodeURIComponent(message.conversation));
  });
}
