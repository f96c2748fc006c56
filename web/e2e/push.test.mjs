// The service worker in a real browser. Pushes are handed to it by the
// browser's own tools, as if they had come from a push service.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, message, person, say, Server } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launch();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Waits until the condition holds. */
async function until(condition, what) {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, what);
    await new Promise((done) => setTimeout(done, 20));
  }
}

test("a push is shown unless its conversation is in view, and goes once it is", async () => {
  const ben = await person(browser, server, "ben");
  const aki = await person(browser, server, "aki", { permissions: ["notifications"] });
  await message(aki.page, "ben");
  await say(aki.page, "hello");
  const conversation = new URL(aki.page.url()).pathname.split("/")[2];

  const tools = await aki.context.newCDPSession(aki.page);
  const found = new Promise((done) =>
    tools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      if (registrations[0]) done(registrations[0].registrationId);
    }),
  );
  await tools.send("ServiceWorker.enable");
  // As the switch does it; for a subscription there must be a push service.
  await aki.page.evaluate(async () => {
    const { user } = await (await fetch("/api/v1/me")).json();
    localStorage.setItem("hikyaku-push", user.id);
    await navigator.serviceWorker.register("/push.js");
    // "Ready" has a worker that may still be on its way to work; the browser's
    // tools drop what they should deliver to one of those.
    const { active } = await navigator.serviceWorker.ready;
    while (active.state !== "activated") {
      await new Promise((done) => active.addEventListener("statechange", done, { once: true }));
    }
  });
  const registrationId = await found;
  const push = (data) =>
    tools.send("ServiceWorker.deliverPushMessage", {
      origin: server.url,
      registrationId,
      data: JSON.stringify(data),
    });
  const shown = () =>
    aki.page.evaluate(async () => {
      const { getNotifications } = ServiceWorkerRegistration.prototype;
      const all = await getNotifications.call(await navigator.serviceWorker.ready);
      return all.map((n) => `${n.title}: ${n.body} (${n.tag})`).sort();
    });
  const here = { title: "ben", body: "hi", conversation };
  const elsewhere = { title: "cho", body: "hey", conversation: "elsewhere" };

  // The second is shown only after the worker is done with the first.
  // The tools do not say whether they delivered a push, and a repeated one takes
  // the place of the one before; so they are repeated, slowly.
  let pushed = 0;
  await until(async () => {
    if (Date.now() - pushed > 3000) {
      pushed = Date.now();
      await push(here);
      await push(elsewhere);
    }
    return (await shown()).length > 0;
  }, "nothing was shown");
  assert.deepEqual(await shown(), ["cho: hey (elsewhere)"]);

  // The page moves without being loaded again; the worker must know.
  await aki.page.goBack();
  await aki.page.getByText("Pick a conversation").waitFor();
  await push(here);
  await until(async () => (await shown()).length === 2, "the conversation is not in view any more");
  assert.deepEqual(await shown(), ["ben: hi (" + conversation + ")", "cho: hey (elsewhere)"]);

  await aki.page.goForward();
  await until(async () => (await shown()).length === 1, "what is in view stayed");
  assert.deepEqual(await shown(), ["cho: hey (elsewhere)"]);
  assert.deepEqual([...aki.faults, ...ben.faults], []);
});
