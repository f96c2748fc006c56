// The service worker in a real browser. The DevTools protocol delivers pushes
// to it, in place of a push service.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, openDirectConversation, signUp, sendMessage, Server, waitUntil } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launchBrowser();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a push shows a notification unless its conversation is in view, and the page closes it then", async () => {
  const ben = await signUp(browser, server, "ben");
  const aki = await signUp(browser, server, "aki", { permissions: ["notifications"] });
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "hello");
  const conversation = new URL(aki.page.url()).pathname.split("/")[2];

  const devtools = await aki.context.newCDPSession(aki.page);
  const registered = new Promise((resolve) =>
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      if (registrations[0]) resolve(registrations[0].registrationId);
    }),
  );
  await devtools.send("ServiceWorker.enable");
  // What the switch in the settings does, without the subscription: that needs a push service.
  await aki.page.evaluate(async () => {
    const { user } = await (await fetch("/api/v1/me")).json();
    localStorage.setItem("hikyaku-push", user.id);
    // A worker that is ready may still be activating, and then DevTools drops pushes.
    const { active } = await navigator.serviceWorker.ready;
    while (active.state !== "activated") {
      await new Promise((resolve) => active.addEventListener("statechange", resolve, { once: true }));
    }
  });
  const registrationId = await registered;
  const push = (data) =>
    devtools.send("ServiceWorker.deliverPushMessage", {
      origin: server.url,
      registrationId,
      data: JSON.stringify(data),
    });
  const notifications = () =>
    aki.page.evaluate(async () => {
      const { getNotifications } = ServiceWorkerRegistration.prototype;
      const all = await getNotifications.call(await navigator.serviceWorker.ready);
      return all.map((n) => `${n.title}: ${n.body} (${n.tag})`).sort();
    });
  const closeAll = () =>
    aki.page.evaluate(async () => {
      const { getNotifications } = ServiceWorkerRegistration.prototype;
      for (const n of await getNotifications.call(await navigator.serviceWorker.ready)) n.close();
    });
  const here = { title: "ben", body: "hi", conversation };
  const elsewhere = { title: "cho", body: "hey", conversation: "elsewhere" };
  const shownHere = `ben: hi (${conversation})`;
  const shownElsewhere = "cho: hey (elsewhere)";

  // DevTools does not report whether it has delivered a push. A notification
  // replaces the one before of the same conversation, so pushes are repeated.
  const pushUntilShown = async (pushes, shown) => {
    let pushedAt = 0;
    await waitUntil(async () => {
      if (Date.now() - pushedAt > 3000) {
        pushedAt = Date.now();
        for (const p of pushes) await push(p);
      }
      return (await notifications()).includes(shown);
    }, `a notification: ${shown}`);
  };

  // The worker handles pushes in order: when the second is shown, the first was
  // not. A page that is too busy to answer the worker in time gets a
  // notification all the same; the test then tries again.
  await waitUntil(async () => {
    await closeAll();
    await pushUntilShown([here, elsewhere], shownElsewhere);
    return !(await notifications()).includes(shownHere);
  }, "no notification of the conversation in view");

  // The page changes its route without being loaded again; the worker must notice.
  await aki.page.goBack();
  await aki.page.getByText("Pick a conversation").waitFor();
  await pushUntilShown([here], shownHere);
  assert.deepEqual(await notifications(), [shownHere, shownElsewhere]);

  await aki.page.goForward();
  await waitUntil(
    async () => (await notifications()).length === 1,
    "the conversation in view has no notification",
  );
  assert.deepEqual(await notifications(), [shownElsewhere]);
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});
