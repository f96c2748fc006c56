import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, assertTree } from "./accessibility.mjs";
import { browser, composer, messageId, messageWith, newPage, openDirectConversation, sendMessage, Server, signUp, useBrowser } from "./harness.mjs"; // prettier-ignore

useBrowser();

/** Starts a server with a channel in which there is something of everything. */
async function setup() {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const { token } = await server.api("", "POST", "/login", { name: "aki", password: "correct horse" });
  const ben = await server.registerAccount("ben");
  const channel = await server.api(token, "POST", "/conversations", {
    ...{ kind: "channel", title: "general", topic: "Everything and nothing", members: [ben.id] },
  });
  let sent = 0;
  const write = (by, body, rest = {}) =>
    server.api(by, "POST", `/conversations/${channel.id}/messages`, { id: messageId(++sent), body, ...rest });
  await write(token, "Good morning! Here is the plan:\n\n- write **tests**\n- `make test`\n- go home");
  await write(ben.token, "Sounds good. See https://example.org for the rest.", { reply_to: 1 });
  const row = "|" + "a wide cell|".repeat(12);
  await write(
    ben.token,
    `${row}\n${row.replace(/a wide cell/g, "-")}\n${row}\n\n\`\`\`\n${"code ".repeat(60)}\n\`\`\``,
  );
  await write(token, "A secret");
  await server.api(token, "DELETE", `/conversations/${channel.id}/messages/4`);
  await write(token, "Anyone there?");
  const { token: link } = await server.api(token, "POST", `/conversations/${channel.id}/links`, {});
  // Without what was announced as it arrived.
  await aki.page.reload();
  await aki.page.getByText("Anyone there?").waitFor();
  return { server, aki, token, ben, channel, link, page: aki.page };
}

test("axe finds nothing, and nothing scrolls sideways: before one is logged in", async () => {
  const server = await Server.start();
  const { page, context } = await newPage(browser);
  await page.goto(server.url);
  await page.getByText("It is made with the link that the server printed").waitFor();
  await assertAccessible(page, "setup");
  await page.goto(`${server.url}/register#${server.setupToken}`);
  await page.getByText("This is the first account.").waitFor();
  await assertTree(page, "register");
  await assertAccessible(page, "register");
  await context.close();
  await server.registerAccount("aki");
  const second = await newPage(browser);
  await second.page.goto(server.url);
  await second.page.getByRole("heading", { name: "Log in" }).waitFor();
  await assertTree(second.page, "login");
  await assertAccessible(second.page, "login");
  const japanese = await newPage(browser, {
    locale: "ja-JP",
    hasTouch: true,
    viewport: { width: 390, height: 844 },
  });
  await japanese.page.goto(server.url);
  await japanese.page.getByRole("heading", { name: "ログイン" }).waitFor();
  await assertAccessible(japanese.page, "login-ja-touch");
});

test("axe finds nothing, and nothing scrolls sideways: the list, a conversation, and what opens over them", async () => {
  const { server, page, aki, channel } = await setup();
  const general = page.getByRole("link", { name: /general/ });
  await general.waitFor();
  await assertAccessible(page, "list");
  await general.click();
  await messageWith(page, "Anyone there?").waitFor();
  await page.getByRole("img", { name: /Delivered/ }).first().waitFor(); // prettier-ignore
  await page
    .getByRole("article", { name: /^ben, / })
    .first()
    .waitFor();
  await assertTree(page, "conversation");
  await assertAccessible(page, "conversation");

  await messageWith(page, "Anyone there?").press("Enter");
  await page.getByRole("menu").getByText("Read by 0 of 1").waitFor();
  await page.getByRole("img", { name: "Read by 0 of 1" }).first().waitFor();
  await assertTree(page, "message-menu");
  await assertAccessible(page, "message-menu");
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("alertdialog").waitFor();
  await assertAccessible(page, "delete");
  await page.keyboard.press("Escape");
  await page.getByRole("alertdialog").waitFor({ state: "detached" });

  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await assertTree(page, "shortcuts");
  await assertAccessible(page, "shortcuts");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Control+k");
  await page.getByRole("option").first().waitFor();
  await assertTree(page, "switcher");
  await assertAccessible(page, "switcher");
  await page.keyboard.press("Escape");

  await page.goto(`${server.url}/c/${channel.id}0`);
  await page.getByRole("heading", { name: "There is no such conversation" }).waitFor();
  await assertAccessible(page, "no-such-conversation");
  assert.deepEqual(aki.errors, []);
});

test("axe finds nothing, and nothing scrolls sideways: members, settings, new conversations", async () => {
  const { page, aki } = await setup();
  await page.getByRole("link", { name: /general/ }).click();
  await page.getByRole("button", { name: "Members and settings" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "New link" }).click();
  await dialog.getByRole("button", { name: "Copy" }).first().waitFor();
  await dialog.getByText("@ben").waitFor();
  await assertTree(page, "members");
  await assertAccessible(page, "members");
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: /@aki Settings/ }).click();
  await page.getByRole("heading", { name: "Devices" }).waitFor();
  await assertTree(page, "settings");
  await assertAccessible(page, "settings");
  await dialog.getByRole("button", { name: "Close" }).click();

  await page.getByRole("link", { name: "Administration" }).click();
  await page.getByRole("main").getByText("@ben").waitFor();
  await assertTree(page, "accounts");
  await assertAccessible(page, "accounts");
  // A heading has the focus for screen readers alone: it is nothing to press.
  await page.reload();
  const heading = page.getByRole("heading", { name: "Administration", exact: true });
  await page.getByRole("main").getByText("@ben").waitFor();
  const ring = heading.evaluate((e) => [document.activeElement === e, getComputedStyle(e).outlineStyle]);
  assert.deepEqual(await ring, [true, "none"]);
  await page.getByRole("link", { name: "Invitations" }).click();
  await page.getByRole("button", { name: "New invitation" }).click();
  await page.getByRole("textbox", { name: "Invitation links" }).waitFor();
  await assertAccessible(page, "invitations");

  const create = page.getByRole("button", { name: "New conversation" });
  await create.click();
  await page.getByRole("menu").waitFor();
  await assertAccessible(page, "new-menu");
  await page.getByRole("menuitem", { name: "New channel" }).click();
  await page.getByLabel("Title").waitFor();
  await assertAccessible(page, "new-channel");
  await dialog.getByRole("button", { name: "Close" }).click();
  await create.click();
  await page.getByRole("menuitem", { name: "Message someone" }).click();
  await page.getByRole("button", { name: /@ben/ }).waitFor();
  await assertTree(page, "new-direct");
  await assertAccessible(page, "new-direct");
  assert.deepEqual(aki.errors, []);
});

test("axe finds nothing, and nothing scrolls sideways: on a phone, and who is not a member", async () => {
  const { server, link } = await setup();
  const { page, errors } = await signUp(browser, server, "chie", { hasTouch: true, viewport: { width: 390, height: 844 } }); // prettier-ignore
  await assertAccessible(page, "empty-touch");
  await page.getByRole("button", { name: "Browse channels" }).click();
  await page.getByRole("button", { name: "Join general" }).waitFor();
  await assertAccessible(page, "channels-touch");
  await page.goto(`${server.url}/join/${link}`);
  await page.getByRole("dialog").getByRole("button", { name: "Join" }).waitFor();
  await assertTree(page, "join");
  await assertAccessible(page, "join-touch");
  await page.getByRole("dialog").getByRole("button", { name: "Join" }).click();
  await sendMessage(page, "Hello!");
  await messageWith(page, "Hello!").waitFor();
  await assertAccessible(page, "conversation-touch");
  await page.getByRole("button", { name: "Back to conversations" }).click();
  await openDirectConversation(page, "ben");
  await page.getByRole("button", { name: "Back to conversations" }).click();
  await assertAccessible(page, "list-touch");
  assert.deepEqual(errors, []);
});

test("nothing moves for who has asked for that", async () => {
  const { page } = await setup();
  await page.emulateMedia({ reducedMotion: "no-preference" });
  const moving = () =>
    page.evaluate(() => {
      const isLong = (s) => s.split(",").some((v) => parseFloat(v) > 0);
      return [...document.querySelectorAll("*")].filter((e) => {
        const { animationName, animationDuration, transitionDuration, scrollBehavior } = getComputedStyle(e);
        return (animationName !== "none" && isLong(animationDuration)) || isLong(transitionDuration) || scrollBehavior === "smooth"; // prettier-ignore
      }).length;
    });
  await page.getByRole("link", { name: /general/ }).click();
  await composer(page).waitFor();
  assert.ok((await moving()) > 0, "something moves otherwise");
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await moving(), 0);
  await page.getByRole("button", { name: "Members and settings" }).click();
  await page.getByRole("dialog").waitFor();
  assert.equal(await moving(), 0);
});
