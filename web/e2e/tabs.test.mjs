import assert from "node:assert/strict";
import { test } from "node:test";
import {
  composer,
  browser,
  messageWith,
  openDirectConversation,
  sendMessage,
  Server,
  signUp,
  timeout,
  waitUntil,
  useBrowser,
} from "./harness.mjs";

useBrowser();

let server;

/** Collects the sends of a page, and drops its connection while it is offline. */
async function watchSocket(tab) {
  tab.sent = [];
  tab.isOffline = false;
  tab.sockets = new Set();
  await tab.page.routeWebSocket(/\/api\/v1\/socket/, (ws) => {
    if (tab.isOffline) {
      void ws.close();
      return;
    }
    const upstream = ws.connectToServer();
    tab.sockets.add(ws);
    ws.onMessage((m) => {
      const frame = JSON.parse(String(m));
      if (frame.t === "send") tab.sent.push(frame.body);
      upstream.send(m);
    });
  });
}

async function goOffline(tab) {
  tab.isOffline = true;
  for (const ws of tab.sockets) await ws.close();
  await tab.page.getByText(/^(Connection lost|You are offline)\./).waitFor();
}

async function goOnline(tab) {
  tab.isOffline = false;
  await tab.page.evaluate(() => window.dispatchEvent(new Event("online")));
}

/** Opens another tab of a user's browser, in their conversation. */
async function openTab(user, path) {
  const page = await user.context.newPage();
  page.setDefaultTimeout(timeout);
  const tab = { page, errors: [] };
  page.on("pageerror", (e) => tab.errors.push(e.message));
  await watchSocket(tab);
  await page.goto(path);
  await composer(page).waitFor();
  return tab;
}

/** Starts a server with two users; the first has two tabs with their conversation. */
async function setup() {
  server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  await openDirectConversation(aki.page, "ben");
  const path = aki.page.url();
  await watchSocket(aki);
  await aki.page.reload();
  await composer(aki.page).waitFor();
  const second = await openTab(aki, path);
  await sendMessage(aki.page, "hello");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  for (const t of [ben, aki, second]) await messageWith(t.page, "hello").waitFor();
  return { aki, ben, second, path };
}

const texts = (page) =>
  page.getByRole("article").evaluateAll((all) => all.map((a) => a.innerText.match(/\b(hello|m\d+)\b/)?.[0]));

test("two tabs send what was written in either, once and in order, also what a closed one left", async () => {
  const { aki, ben, second, path } = await setup();
  const settled = (tab, text) =>
    messageWith(tab.page, text)
      .getByRole("img", { name: /Delivered|Read/ })
      .waitFor();
  // Each tab sends what is written in it, and nothing is sent twice.
  for (const [tab, text] of [
    [aki, "m1"],
    [second, "m2"],
    [aki, "m3"],
  ]) {
    await sendMessage(tab.page, text);
    for (const t of [aki, second]) await settled(t, text);
  }
  assert.deepEqual([aki.sent, second.sent], [["hello", "m1", "m3"], ["m2"]]);
  // Nor is anything stored twice when the tab that takes over sends what has no answer.
  for (const [tab, text] of [
    [second, "m4"],
    [aki, "m5"],
    [second, "m6"],
  ])
    await sendMessage(tab.page, text);
  for (const text of ["m4", "m5", "m6"]) for (const t of [aki, second]) await settled(t, text);
  aki.sent = [];
  second.sent = [];

  // A tab without a connection writes; the other shows and sends that.
  await goOffline(second);
  await sendMessage(second.page, "m7");
  await settled(aki, "m7");
  await messageWith(second.page, "m7").getByRole("img", { name: "Accepted" }).waitFor();

  // Both are without; one of them is closed, and the other sends what both wrote.
  await goOffline(aki);
  for (const [tab, other, text] of [
    [aki, second, "m8"],
    [second, aki, "m9"],
    [aki, second, "m10"],
  ]) {
    await sendMessage(tab.page, text);
    await messageWith(other.page, text).getByRole("img", { name: "Sending" }).waitFor();
  }
  await aki.page.close();
  await goOnline(second);
  for (const text of ["m7", "m8", "m9", "m10"]) await settled(second, text);
  assert.deepEqual([aki.sent, second.sent], [["m7"], ["m8", "m9", "m10"]]);

  const all = ["hello", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10"];
  const third = await openTab(aki, path);
  for (const t of [ben, second, third]) {
    await messageWith(t.page, "m10").waitFor();
    await waitUntil(async () => (await texts(t.page)).length === all.length, "all messages are shown");
    assert.deepEqual(await texts(t.page), all);
  }
  for (const t of [aki, ben, second, third]) assert.deepEqual(t.errors, []);
});

test("a tab that is frozen while it sends is not waited for", async () => {
  const { aki, ben, second } = await setup();
  const cdp = await aki.context.newCDPSession(aki.page);
  await sendMessage(aki.page, "m1"); // it holds the lock
  await messageWith(ben.page, "m1").waitFor();
  await cdp.send("Debugger.enable");
  await cdp.send("Debugger.pause");
  // The page stops at its next statement.
  const paused = new Promise((resolve) => cdp.once("Debugger.paused", resolve));
  void aki.page.evaluate("1").catch(() => {});
  await paused;
  await sendMessage(second.page, "m2");
  await messageWith(ben.page, "m2").waitFor();
  assert.deepEqual(second.sent, ["m2"]);
  await cdp.send("Debugger.disable");
  await messageWith(aki.page, "m2").waitFor();
  assert.deepEqual(aki.sent, ["hello", "m1"]);
  assert.deepEqual(await texts(aki.page), ["hello", "m1", "m2"]);
});

test("drafts are the same in all tabs", async () => {
  const { aki, second, path } = await setup();
  const has = (tab, text) =>
    waitUntil(async () => (await composer(tab.page).inputValue()) === text, `the draft is "${text}"`);
  await composer(aki.page).pressSequentially("Lunch");
  await has(second, "Lunch");
  await composer(second.page).pressSequentially(" at noon?");
  await has(aki, "Lunch at noon?");
  const third = await openTab(aki, path);
  await has(third, "Lunch at noon?");
  // An edit is begun in all of them, and the draft waits behind it.
  await composer(third.page).fill("Dinner?");
  await has(aki, "Dinner?");
  await composer(aki.page).fill("");
  await composer(aki.page).press("ArrowUp");
  await has(third, "hello");
  await composer(third.page).fill("hello there");
  await has(aki, "hello there");
  await composer(aki.page).press("Escape");
  for (const t of [aki, second, third]) await has(t, "");
  await composer(third.page).pressSequentially("Dinner?");
  await has(second, "Dinner?");
  await composer(second.page).press("Enter");
  for (const t of [aki, second, third]) await has(t, "");
  for (const t of [aki, second, third]) assert.deepEqual(t.errors, []);
});

test("what was not sent can be retried and discarded in each tab", async () => {
  const { aki, ben, second } = await setup();
  // A text that is too long for the server is refused for good.
  await second.page.route("**/*", (r) => r.continue());
  const long = "m1 " + "x".repeat(20_000);
  await aki.page.evaluate(() => {
    TextEncoder.prototype.encode = () => new Uint8Array(1); // the page thinks that it fits
  });
  await sendMessage(aki.page, long);
  for (const t of [aki, second]) await messageWith(t.page, "m1").getByText("Not sent").waitFor();
  await messageWith(second.page, "m1").getByRole("button", { name: "Retry" }).click();
  await waitUntil(() => second.sent.length === 1, "the second tab sends it again");
  for (const t of [aki, second]) await messageWith(t.page, "m1").getByText("Not sent").waitFor();
  await messageWith(second.page, "m1").getByRole("button", { name: "Discard" }).click();
  await second.page.getByRole("alertdialog").getByRole("button", { name: "Discard" }).click();
  for (const t of [aki, second]) await messageWith(t.page, "m1").waitFor({ state: "detached" });
  await aki.page.reload();
  await messageWith(aki.page, "hello").waitFor();
  assert.equal(await messageWith(aki.page, "m1").count(), 0);
  assert.equal(await messageWith(ben.page, "m1").count(), 0);
  for (const t of [aki, second]) assert.deepEqual(t.errors, []);
});
