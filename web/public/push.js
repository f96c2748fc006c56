// The service worker for push notifications. The payload of a push:
//
//   {"title": "…", "body": "…", "conversation": "…"}
//
// It handles no requests: the page loads as it does without it. Its own address
// names the account whose notifications it shows, as /push.js?account=ID.
"use strict";

// How long a page has to answer; browsers allow opening a window only for a
// moment after a click.
const answerTimeout = 500;

const account = new URLSearchParams(self.location.search).get("account");

// Returns the path of something below the installation's own.
const addressOf = (path) => new URL(path, self.registration.scope).pathname;

const enqueue = createQueue();

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (e) => e.waitUntil(enqueue(() => handlePush(e.data))));
self.addEventListener("notificationclick", (e) => {
  e.notification.close();
  e.waitUntil(openConversation(e.notification.data?.conversation));
});
self.addEventListener("pushsubscriptionchange", (e) => e.waitUntil(renewSubscription(e)));

// Returns a function that runs tasks one after the other: the last message of a
// conversation must be the one whose notification stays.
function createQueue() {
  let last = Promise.resolve();
  return (task) => (last = last.then(task, task));
}

async function handlePush(data) {
  const { title = "Hikyaku", body = "", conversation } = parsePayload(data);
  if (conversation && (await isInView(conversation))) return;
  await self.registration.showNotification(title, {
    body,
    data: { conversation },
    ...(conversation ? { tag: conversation, renotify: true } : {}),
  });
}

// A payload that cannot be parsed is like an empty one: browsers demand a
// notification for each push.
function parsePayload(data) {
  try {
    return data?.json() ?? {};
  } catch {
    return {};
  }
}

const getPages = () => self.clients.matchAll({ type: "window", includeUncontrolled: true });

async function isInView(conversation) {
  const visible = (await getPages()).filter((p) => p.visibilityState === "visible");
  const answers = await Promise.all(visible.map((p) => ask(p, { type: "where" })));
  return answers.some((a) => a?.conversation === conversation);
}

async function openConversation(conversation) {
  const pages = await getPages();
  const answers = await Promise.all(pages.map((p) => ask(p, { type: "where" })));
  const showing = pages.findIndex((_, i) => conversation && answers[i]?.conversation === conversation);
  // A page that does not answer is frozen, or no longer ours.
  const page = pages[showing >= 0 ? showing : answers.findIndex((a) => a)];
  if (!page)
    return self.clients.openWindow(addressOf(conversation ? "c/" + encodeURIComponent(conversation) : ""));
  if (conversation) page.postMessage({ type: "open", conversation });
  return page.focus();
}

// Asks a page which conversation it shows; undefined if it does not answer. The
// url of a client does not do: some browsers report the one it was loaded with.
function ask(page, message) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const finish = (answer) => {
      clearTimeout(timer);
      port1.close();
      resolve(answer);
    };
    const timer = setTimeout(finish, answerTimeout);
    port1.onmessage = (e) => finish(e.data);
    page.postMessage(message, [port2]);
  });
}

// The browser has ended the subscription, and may have made a new one.
async function renewSubscription({ oldSubscription, newSubscription }) {
  const subscription = newSubscription ?? (await subscribe(oldSubscription?.options.applicationServerKey));
  const { endpoint, keys } = subscription.toJSON();
  const response = await api("PUT", "/push/subscription", { endpoint, keys });
  if (oldSubscription && oldSubscription.endpoint !== endpoint)
    await api("DELETE", "/push/subscription", { endpoint: oldSubscription.endpoint });
  // Nobody or somebody else is logged in, or the server does not push any more.
  if ([401, 403, 404, 412].includes(response.status)) await subscription.unsubscribe();
}

async function subscribe(key) {
  const applicationServerKey = key ?? (await (await api("GET", "/push")).json()).public_key;
  return self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
}

function api(method, path, body) {
  return fetch(addressOf("api/v1" + path), {
    method,
    credentials: "same-origin",
    headers: {
      ...(account ? { "Hikyaku-Account": account } : {}),
      ...(body ? { "Content-Type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}
