import assert from "node:assert/strict";
import { test } from "node:test";
import {
  messageWith,
  composer,
  browser,
  openDirectConversation,
  signUp,
  sendMessage,
  Server,
  useBrowser,
} from "./harness.mjs";

useBrowser();

let server;

/** Starts a server with two users. */
async function setup(...flags) {
  server = await Server.start(...flags);
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  return { aki, ben };
}

function assertNoErrors(...users) {
  for (const u of users) assert.deepEqual(u.errors, [], `errors of ${u.name}'s page`);
}

test("two users talk, and see each other's typing, marks, edits and deletions", async () => {
  const { aki, ben } = await setup();
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "Hello **Ben**");
  await messageWith(aki.page, "Hello Ben")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  // Ben sees it as unread, in the list and in the window's title.
  const row = ben.page.getByRole("link", { name: /aki/ });
  await row.getByLabel("1 unread message").waitFor();
  await ben.page.waitForFunction(() => document.title.startsWith("(1)"));
  await row.click();
  await messageWith(ben.page, "Hello Ben").locator("strong").waitFor();
  await messageWith(aki.page, "Hello Ben").getByRole("img", { name: "Read" }).waitFor();
  await ben.page.waitForFunction(() => document.title === "Hikyaku");

  await composer(ben.page).pressSequentially("Hi");
  await aki.page.locator("[data-typing]").getByText("ben is typing…").waitFor();
  await composer(ben.page).press("Enter");
  await messageWith(aki.page, "Hi").waitFor();

  // The arrow key edits the user's last message.
  await composer(aki.page).press("ArrowUp");
  await composer(aki.page).fill("Hello, dear Ben");
  await composer(aki.page).press("Enter");
  await messageWith(ben.page, "Hello, dear Ben").getByText("(edited)").waitFor();

  // A reply quotes the original.
  await messageWith(ben.page, "Hello, dear Ben").hover();
  await messageWith(ben.page, "Hello, dear Ben").getByRole("button", { name: "Message actions" }).click();
  await ben.page.getByRole("menuitem", { name: "Reply" }).click();
  await sendMessage(ben.page, "an answer");
  await messageWith(aki.page, "an answer").getByText("Hello, dear Ben").waitFor();

  await messageWith(aki.page, "Hello, dear Ben").first().hover();
  await messageWith(aki.page, "Hello, dear Ben")
    .first()
    .getByRole("button", { name: "Message actions" })
    .click();
  await aki.page.getByRole("menuitem", { name: "Delete" }).click();
  await aki.page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await messageWith(ben.page, "Message deleted").first().waitFor();
  assertNoErrors(aki, ben);
});

test("messages written offline are sent once, after a reload too", async () => {
  const { aki, ben } = await setup();
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "first");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await messageWith(ben.page, "first").waitFor();
  await server.kill();
  await aki.page.getByText(/^(Connection lost|You are offline)\./).waitFor();
  await sendMessage(aki.page, "written offline");
  await messageWith(aki.page, "written offline").getByRole("img", { name: "Sending" }).waitFor();
  await server.run();
  await messageWith(ben.page, "written offline").waitFor();
  await messageWith(aki.page, "written offline")
    .getByRole("img", { name: /Accepted|Delivered|Read/ })
    .waitFor();

  // Again, with a reload before the connection is back.
  await aki.context.setOffline(true);
  await sendMessage(aki.page, "before the reload");
  await messageWith(aki.page, "before the reload").getByRole("img", { name: "Sending" }).waitFor();
  await aki.context.setOffline(false);
  await aki.page.reload();
  await messageWith(ben.page, "before the reload").waitFor();
  await messageWith(aki.page, "before the reload").waitFor();
  for (const u of [aki, ben]) {
    for (const text of ["first", "written offline", "before the reload"])
      assert.equal(await messageWith(u.page, text).count(), 1, `${u.name} sees "${text}" once`);
  }
  assertNoErrors(aki, ben);
});

test("a lost push is detected and repaired, the last one too", async () => {
  const { aki, ben } = await setup("--check-interval", "2s");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "arrives");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await messageWith(ben.page, "arrives").waitFor();

  // From now on the connection to Ben drops pushed messages.
  let dropPushes = true;
  await ben.page.routeWebSocket(/\/api\/v1\/socket/, (ws) => {
    const upstream = ws.connectToServer();
    upstream.onMessage((m) => {
      if (!(dropPushes && String(m).startsWith('{"t":"message"'))) ws.send(m);
    });
  });
  await ben.page.reload();
  await messageWith(ben.page, "arrives").waitFor();
  await ben.page
    .getByRole("img", { name: "online" })
    .or(ben.page.locator("header").getByText("Online"))
    .first()
    .waitFor();
  await sendMessage(aki.page, "lost on the way");
  await messageWith(aki.page, "lost on the way")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  await messageWith(ben.page, "lost on the way").waitFor();
  assert.equal(await messageWith(ben.page, "lost on the way").count(), 1);
  dropPushes = false;
  assertNoErrors(aki, ben);
});

test("an input method's Enter does not send", async () => {
  const { aki, ben } = await setup();
  await openDirectConversation(aki.page, "ben");
  await composer(aki.page).focus();
  const cdp = await aki.context.newCDPSession(aki.page);
  await cdp.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
  // The key that accepts the conversion: code 229 while composing.
  await cdp.send("Input.dispatchKeyEvent", {
    type: "rawKeyDown",
    key: "Enter",
    code: "Enter",
    windowsVirtualKeyCode: 229,
  });
  await cdp.send("Input.insertText", { text: "日本" });
  assert.equal(await composer(aki.page).inputValue(), "日本");
  assert.equal(await aki.page.getByRole("article").count(), 0);
  await composer(aki.page).press("Enter");
  await messageWith(aki.page, "日本").waitFor();
  assertNoErrors(aki, ben);
});

test("a removed member and a revoked device lose access at once", async () => {
  const { aki, ben } = await setup();
  await aki.page.getByRole("button", { name: "New conversation" }).click();
  await aki.page.getByRole("menuitem", { name: "New group" }).click();
  await aki.page.getByLabel("Title").fill("Team");
  await aki.page.getByLabel("Search people by name").fill("ben");
  await aki.page.getByRole("button", { name: /@ben/ }).click();
  await aki.page.getByRole("button", { name: "Create", exact: true }).click();
  await sendMessage(aki.page, "welcome");
  await ben.page.getByRole("link", { name: /Team/ }).click();
  await messageWith(ben.page, "welcome").waitFor();
  await aki.page.getByRole("button", { name: "Members and settings" }).click();
  await aki.page.getByRole("button", { name: "Remove: ben" }).click();
  await aki.page.getByRole("alertdialog").getByRole("button", { name: "Remove", exact: true }).click();
  await ben.page.getByRole("link", { name: /Team/ }).waitFor({ state: "detached" });
  assert.equal(await messageWith(ben.page, "welcome").count(), 0);

  // Ben's other device revokes this one's session.
  const login = await server.api("", "POST", "/login", { name: "ben", password: "correct horse" });
  const { items } = await server.api(login.token, "GET", "/sessions");
  await server.api(login.token, "DELETE", `/sessions/${items.find((s) => !s.current).id}`);
  await ben.page.getByText("This device was logged out. Log in again.").waitFor();
  assertNoErrors(aki, ben);
});

test("a message to a conversation that is gone does not vanish, nor does a failing database go unsaid", async () => {
  server = await Server.start();
  const aki = await server.registerAccount("aki");
  const ben = await signUp(browser, server, "ben");
  const { items } = await server.api(aki.token, "GET", "/users?q=ben");
  const createGroup = (title) =>
    server.api(aki.token, "POST", "/conversations", { kind: "group", title, members: [items[0].id] });
  const gone = await createGroup("Gone");
  await createGroup("Other");
  await ben.page.getByRole("link", { name: /Gone/ }).click();
  await composer(ben.page).waitFor();
  await ben.context.setOffline(true);
  await server.kill();
  await sendMessage(ben.page, "Lunch at noon?");
  await server.run();
  await server.api(aki.token, "DELETE", `/conversations/${gone.id}/members/${items[0].id}`);
  await ben.context.setOffline(false);
  const failed = ben.page.getByRole("region", { name: "Not sent" });
  await failed.getByText("Lunch at noon?").waitFor();
  await ben.page.reload();
  await failed.getByRole("button", { name: "Discard" }).click();
  await ben.page.getByRole("alertdialog").getByRole("button", { name: "Discard" }).click();
  await failed.waitFor({ state: "detached" });

  await ben.page.evaluate(() => {
    const { transaction } = IDBDatabase.prototype;
    IDBDatabase.prototype.transaction = () => {
      IDBDatabase.prototype.transaction = transaction;
      throw new Error("the database has failed");
    };
  });
  const notice = ben.page.getByText("This browser cannot save anything");
  await ben.page.getByRole("link", { name: /Other/ }).click();
  await composer(ben.page).fill("a draft");
  await notice.waitFor();
  await notice.waitFor({ state: "detached" });
  await ben.page.reload();
  await ben.page.waitForFunction(() => document.querySelector("textarea")?.value === "a draft");
  assertNoErrors(ben);
});
