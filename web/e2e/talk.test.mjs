import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bubble, composer, launch, message, person, say, Server } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

async function two() {
  server = await Server.start();
  const aki = await person(browser, server, "aki");
  const ben = await person(browser, server, "ben");
  await message(aki.page, "ben");
  return { aki, ben };
}

async function done(...people) {
  for (const p of people) {
    assert.deepEqual(p.faults, [], `${p.name}'s page threw`);
    await p.context.close();
  }
  await server.stop();
}

test("two people talk, and see each other's typing, marks, edits and deletes", async () => {
  const { aki, ben } = await two();
  await say(aki.page, "Hello **Ben**");
  await bubble(aki.page, "Hello Ben")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  // Ben sees it in the list, unread, and in the window's title.
  const row = ben.page.getByRole("link", { name: /aki/ });
  await row.getByLabel("1 unread message").waitFor();
  await ben.page.waitForFunction(() => document.title.startsWith("(1)"));
  await row.click();
  await bubble(ben.page, "Hello Ben").locator("strong").waitFor();
  await bubble(aki.page, "Hello Ben").getByRole("img", { name: "Read" }).waitFor();
  await ben.page.waitForFunction(() => document.title === "Hikyaku");

  await composer(ben.page).pressSequentially("Hi");
  await aki.page.locator("[data-typing]").getByText("ben is typing…").waitFor();
  await composer(ben.page).press("Enter");
  await bubble(aki.page, "Hi").waitFor();

  // The last own message is edited with the arrow key.
  await composer(aki.page).press("ArrowUp");
  await composer(aki.page).fill("Hello, dear Ben");
  await composer(aki.page).press("Enter");
  await bubble(ben.page, "Hello, dear Ben").getByText("(edited)").waitFor();

  // A reply quotes what it answers.
  await bubble(ben.page, "Hello, dear Ben").hover();
  await bubble(ben.page, "Hello, dear Ben").getByRole("button", { name: "Message actions" }).click();
  await ben.page.getByRole("menuitem", { name: "Reply" }).click();
  await say(ben.page, "an answer");
  await bubble(aki.page, "an answer").getByText("Hello, dear Ben").waitFor();

  await bubble(aki.page, "Hello, dear Ben").first().hover();
  await bubble(aki.page, "Hello, dear Ben").first().getByRole("button", { name: "Message actions" }).click();
  await aki.page.getByRole("menuitem", { name: "Delete" }).click();
  await aki.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await bubble(ben.page, "Message deleted").first().waitFor();
  await done(aki, ben);
});

test("what is written offline survives a reload and is sent once", async () => {
  const { aki, ben } = await two();
  await say(aki.page, "first");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await bubble(ben.page, "first").waitFor();
  await server.kill();
  await aki.page.getByText("Connection lost. Reconnecting…").waitFor();
  await say(aki.page, "written offline");
  await bubble(aki.page, "written offline").getByRole("img", { name: "Sending" }).waitFor();
  await server.run();
  await bubble(ben.page, "written offline").waitFor();
  await bubble(aki.page, "written offline")
    .getByRole("img", { name: /Accepted|Delivered|Read/ })
    .waitFor();

  // Again, with a reload before the connection returns.
  await aki.context.setOffline(true);
  await say(aki.page, "before the reload");
  await bubble(aki.page, "before the reload").getByRole("img", { name: "Sending" }).waitFor();
  await aki.context.setOffline(false);
  await aki.page.reload();
  await bubble(ben.page, "before the reload").waitFor();
  await bubble(aki.page, "before the reload").waitFor();
  for (const p of [aki, ben]) {
    for (const text of ["first", "written offline", "before the reload"])
      assert.equal(await bubble(p.page, text).count(), 1, `${p.name} sees "${text}" once`);
  }
  await done(aki, ben);
});

test("a push that is lost on the way is found and repaired, the last one too", async () => {
  server = await Server.start();
  const aki = await person(browser, server, "aki");
  const ben = await person(browser, server, "ben");
  await message(aki.page, "ben");
  await say(aki.page, "arrives");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await bubble(ben.page, "arrives").waitFor();

  // From now on the path to Ben swallows what is pushed.
  let swallow = true;
  await ben.page.routeWebSocket(/\/api\/v1\/socket/, (ws) => {
    const up = ws.connectToServer();
    up.onMessage((m) => {
      if (!(swallow && String(m).startsWith('{"t":"message"'))) ws.send(m);
    });
  });
  await ben.page.reload();
  await bubble(ben.page, "arrives").waitFor();
  await ben.page
    .getByRole("img", { name: "online" })
    .or(ben.page.locator("header").getByText("Online"))
    .first()
    .waitFor();
  await say(aki.page, "lost on the way");
  await bubble(aki.page, "lost on the way")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  await bubble(ben.page, "lost on the way").waitFor();
  assert.equal(await bubble(ben.page, "lost on the way").count(), 1);
  swallow = false;
  await done(aki, ben);
});

test("an input method's Enter does not send", async () => {
  const { aki, ben } = await two();
  await composer(aki.page).focus();
  const cdp = await aki.context.newCDPSession(aki.page);
  await cdp.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
  // The key with which the conversion is accepted: code 229 while composing.
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
  await bubble(aki.page, "日本").waitFor();
  await done(aki, ben);
});

test("a removed member and a revoked device lose sight at once", async () => {
  server = await Server.start();
  const aki = await person(browser, server, "aki");
  const ben = await person(browser, server, "ben");
  await aki.page.getByRole("button", { name: "New conversation" }).click();
  await aki.page.getByRole("menuitem", { name: "New group" }).click();
  await aki.page.getByLabel("Title").fill("Team");
  await aki.page.getByLabel("Search people by name").fill("ben");
  await aki.page.getByRole("button", { name: /@ben/ }).click();
  await aki.page.getByRole("button", { name: "Create", exact: true }).click();
  await say(aki.page, "welcome");
  await ben.page.getByRole("link", { name: /Team/ }).click();
  await bubble(ben.page, "welcome").waitFor();
  await aki.page.getByRole("button", { name: "Members and settings" }).click();
  await aki.page.getByRole("button", { name: "Remove: ben" }).click();
  await ben.page.getByRole("link", { name: /Team/ }).waitFor({ state: "detached" });
  assert.equal(await bubble(ben.page, "welcome").count(), 0);

  // Ben's other device ends this one's session.
  const login = await server.api("", "POST", "/login", { name: "ben", password: "correct horse" });
  const { items } = await server.api(login.token, "GET", "/sessions");
  await server.api(login.token, "DELETE", `/sessions/${items.find((s) => !s.current).id}`);
  await ben.page.getByText("This device was logged out. Log in again.").waitFor();
  await done(aki, ben);
});
