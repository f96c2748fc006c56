// The service worker for notifications. What a push carries:
//
//   {"title": "…", "body": "…", "conversation": "…"}
//
// It answers no requests: the page loads as it does without it.
"use strict";

// How long a page has to answer; browsers let a click open windows only for a
// moment.
const patience = 500;

// One after the other: of a conversation's messages, the last to come must be
// the one that stays.
let last = Promise.resolve();
const inTurn = (task) => (last = last.then(task, task));

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (e) => e.waitUntil(inTurn(() => pushed(e.data))));
self.addEventListener("notificationclick", (e) => {
  e.notification.close();
  e.waitUntil(open(e.notification.data?.conversation));
});
self.addEventListener("pushsubscriptionchange", (e) => e.waitUntil(renew(e)));

async function pushed(data) {
  const { title = "Hikyaku", body = "", conversation } = read(data);
  if (conversation && (await inView(conversation))) return;
  await self.registration.showNotification(title, {
    body,
    data: { conversation },
    ...(conversation ? { tag: conversation, renotify: true } : {}),
  });
}

// Browsers want something shown for each push, even for one that nobody
// understands.
function read(data) {
  try {
    return data?.json() ?? {};
  } catch {
    return {};
  }
}

const windows = () => self.clients.matchAll({ type: "window", includeUncontrolled: true });

async function inView(conversation) {
  const visible = (await windows()).filter((w) => w.visibilityState === "visible");
  const answers = await Promise.all(visible.map((w) => ask(w, { type: "where" })));
  return answers.some((a) => a?.conversation === conversation);
}

async function open(conversation) {
  const all = await windows();
  const answers = await Promise.all(all.map((w) => ask(w, { type: "where" })));
  const there = all.findIndex((_, i) => conversation && answers[i]?.conversation === conversation);
  // A page that does not answer is frozen, or not ours any more.
  const page = all[there >= 0 ? there : answers.findIndex((a) => a)];
  if (!page) return self.clients.openWindow(conversation ? "/c/" + encodeURIComponent(conversation) : "/");
  if (conversation) page.postMessage({ type: "open", conversation });
  return page.focus();
}

// Asks a page. Addresses of windows do not do: some browsers give the one
// that the page was loaded with.
function ask(page, message) {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    const answer = (a) => {
      clearTimeout(timer);
      port1.close();
      done(a);
    };
    const timer = setTimeout(answer, patience);
    port1.onmessage = (e) => answer(e.data);
    page.postMessage(message, [port2]);
  });
}

// The browser ended the subscription, and may have made a new one.
async function renew({ oldSubscription, newSubscription }) {
  const fresh = newSubscription ?? (await subscribe(oldSubscription?.options.applicationServerKey));
  const { endpoint, keys } = fresh.toJSON();
  const kept = await api("PUT", "/push/subscription", { endpoint, keys });
  if (oldSubscription && oldSubscription.endpoint !== endpoint)
    await api("DELETE", "/push/subscription", { endpoint: oldSubscription.endpoint });
  // Nobody is logged in, or the server does not push any more.
  if ([401, 403, 404].includes(kept.status)) await fresh.unsubscribe();
}

async function subscribe(key) {
  const applicationServerKey = key ?? (await (await api("GET", "/push")).json()).public_key;
  return self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
}

function api(method, path, body) {
  return fetch("/api/v1" + path, {
    method,
    credentials: "same-origin",
    ...(body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {}),
  });
}
