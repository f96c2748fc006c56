// Notifications for one who has no page open. The payload of a push:
//
//   {"title": "…", "body": "…", "conversation": "…"}
import { v7 } from "uuid";
import { openStorage, type StoredMessage } from "../src/sync/storage";
import { getWorkerNote, type WorkerNote } from "../src/sync/workernote";

type Payload = { title?: string; body?: string; conversation?: string };

/** What a notification remembers: with the words for an answer that comes when nobody is
 * written for any more. */
type Data = { conversation?: string; notKept?: string };

/** A page that answers: the conversation that it shows, null while it shows none. */
type Place = { conversation: string | null };

/** What not all browsers have, and TypeScript knows nothing of. */
type Options = NotificationOptions & { renotify?: boolean; actions?: Action[] };
type Action = { action: string; title: string; type: "text" };
type ReplyEvent = NotificationEvent & { reply?: string | null };
type ChangeEvent = ExtendableEvent & {
  oldSubscription?: PushSubscription;
  newSubscription?: PushSubscription;
};

/** How long a page has to answer, in milliseconds; browsers allow opening a window only
 * for a moment after a click. */
const answerTimeout = 500;

/** Shows what is pushed, and does what the person wants with it. */
export function serveNotifications(scope: ServiceWorkerGlobalScope) {
  const { registration, clients } = scope;
  const root = new URL(registration.scope);
  const enqueue = createQueue();
  const { NotificationEvent: Click } = scope as { NotificationEvent?: { prototype: object } };
  const canReply = Click !== undefined && "reply" in Click.prototype;

  scope.addEventListener("push", (e) => e.waitUntil(enqueue(() => handlePush(e.data))));
  scope.addEventListener("notificationclick", (e: ReplyEvent) => {
    e.notification.close();
    const { title } = e.notification;
    const { conversation, notKept } = (e.notification.data ?? {}) as Data;
    const text = e.reply?.trim();
    e.waitUntil(
      conversation && text ? reply(conversation, text, title, notKept) : openConversation(conversation),
    );
  });
  scope.addEventListener("pushsubscriptionchange", (e) => e.waitUntil(renewSubscription(e as ChangeEvent)));

  async function handlePush(data: PushMessageData | null) {
    const { title = "Hikyaku", body = "", conversation } = parsePayload(data);
    if (conversation && (await isInView(conversation))) return;
    await show(title, body, conversation);
  }

  /** Shows a notification in place of the one before of the same conversation. */
  async function show(title: string, body: string, conversation?: string) {
    const note = canReply && conversation ? await getNote() : undefined;
    const options: Options = {
      body,
      icon: new URL("icon-192.png", root).href,
      data: { conversation, notKept: note?.words.notKept } satisfies Data,
      ...(conversation ? { tag: conversation, renotify: true } : {}),
      ...(note ? { actions: [{ action: "reply", type: "text", title: note.words.reply }] } : {}),
    };
    await registration.showNotification(title, options);
  }

  const getPages = () => clients.matchAll({ type: "window", includeUncontrolled: true });

  async function isInView(conversation: string) {
    const visible = (await getPages()).filter((p) => p.visibilityState === "visible");
    const answers = await Promise.all(visible.map(askPlace));
    return answers.some((a) => a?.conversation === conversation);
  }

  async function openConversation(conversation?: string) {
    const pages = await getPages();
    const answers = await Promise.all(pages.map(askPlace));
    const showing = pages.findIndex((_, i) => conversation && answers[i]?.conversation === conversation);
    // A page that does not answer is frozen, or no longer ours.
    const page = pages[showing >= 0 ? showing : answers.findIndex((a) => a)];
    if (!page) {
      const path = conversation ? "c/" + encodeURIComponent(conversation) : "";
      await clients.openWindow(new URL(path, root).href);
      return;
    }
    if (conversation) page.postMessage({ type: "open", conversation });
    await page.focus();
  }

  /** Sends an answer as the outbox of a page does: it is on the device, under its id,
   * before the server has it, and the next page sends it again when it could not be sent.
   * A text that is neither sent nor on the device is shown to who has written it. */
  async function reply(conversation: string, body: string, title: string, notKept = "") {
    const note = await getNote();
    const outcome = note ? await send(note, conversation, body) : "lost";
    if (outcome === "sent") return;
    const words = outcome === "kept" ? note?.words.notSent : (note?.words.notKept ?? notKept);
    await show(title, `${words}\n${body}`.trim(), conversation);
  }

  async function send(note: WorkerNote, conversation: string, body: string) {
    const at = Date.now();
    const message: StoredMessage = { id: v7(), order: at, conversation, body, replyTo: 0, at };
    const storage = await openStorage(note.account).catch(() => null);
    const save = async (m: StoredMessage) => {
      try {
        await storage?.save(m);
        return storage !== null;
      } catch {
        return false; // the device is full
      }
    };
    try {
      let kept = await save(message);
      const path = `/conversations/${conversation}/messages`;
      const answer = await call(note, "POST", path, { id: message.id, body }).catch(() => null);
      if (answer?.ok) {
        await storage?.delete(message.id).catch(() => {}); // a page sends it once more, under its id
        return "sent";
      }
      if (answer && [400, 403, 404, 409, 413].includes(answer.status)) {
        const problem = (await answer.json().catch(() => ({}))) as { code?: string };
        kept = (await save({ ...message, failed: problem.code ?? "invalid" })) || kept;
      }
      return kept ? "kept" : "lost";
    } finally {
      storage?.close();
    }
  }

  /** The browser has ended the subscription, and may have made a new one. */
  async function renewSubscription({ oldSubscription, newSubscription }: ChangeEvent) {
    const note = await getNote();
    if (!note) return void (await newSubscription?.unsubscribe());
    const subscription =
      newSubscription ?? (await subscribe(note, oldSubscription?.options.applicationServerKey));
    const { endpoint, keys } = subscription.toJSON();
    const response = await call(note, "PUT", "/push/subscription", { endpoint, keys });
    if (oldSubscription && oldSubscription.endpoint !== endpoint)
      await call(note, "DELETE", "/push/subscription", { endpoint: oldSubscription.endpoint });
    // Nobody or somebody else is logged in, or the server does not push any more.
    if ([401, 403, 404, 412].includes(response.status)) await subscription.unsubscribe();
  }

  async function subscribe(note: WorkerNote, key?: ArrayBuffer | null) {
    const applicationServerKey =
      key ?? ((await (await call(note, "GET", "/push")).json()) as { public_key: string }).public_key;
    return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
  }

  function call(note: WorkerNote, method: string, path: string, body?: unknown) {
    return fetch(new URL("api/v1" + path, root), {
      method,
      credentials: "same-origin",
      headers: {
        "Hikyaku-Account": note.account,
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  }
}

const getNote = () => getWorkerNote().catch(() => undefined);

/** Returns a function that runs tasks one after the other: the last message of a
 * conversation must be the one whose notification stays. */
function createQueue() {
  let last: Promise<void> = Promise.resolve();
  return (task: () => Promise<void>) => (last = last.then(task, task));
}

/** A payload that cannot be parsed is like an empty one: browsers demand a
 * notification for each push. */
function parsePayload(data: PushMessageData | null): Payload {
  try {
    return (data?.json() as Payload | undefined) ?? {};
  } catch {
    return {};
  }
}

/** Asks a page which conversation it shows; undefined if it does not answer. The
 * url of a client does not do: some browsers report the one it was loaded with. */
function askPlace(page: WindowClient): Promise<Place | undefined> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const finish = (answer?: Place) => {
      clearTimeout(timer);
      port1.close();
      resolve(answer);
    };
    const timer = setTimeout(finish, answerTimeout);
    port1.onmessage = (e) => finish(e.data as Place);
    page.postMessage({ type: "where" }, [port2]);
  });
}
