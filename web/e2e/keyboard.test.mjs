import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageId,
  messageWith,
  newPage,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";
import { logIn, makeConversations } from "./seed.mjs";

useBrowser();

/** Starts a server with a channel that aki is in, whose other member writes through the API. */
async function setup(bodies, options = {}) {
  const server = await Server.start();
  const writer = await server.registerAccount("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "news" });
  let sent = 0;
  const write = async (body, rest = {}) =>
    server.api(writer.token, "POST", `/conversations/${c.id}/messages`, {
      id: messageId(++sent),
      body,
      ...rest,
    });
  for (const body of bodies) await write(body);
  const aki = await signUp(browser, server, "aki", options);
  const me = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  await server.api(writer.token, "POST", `/conversations/${c.id}/members`, { users: [me.user.id] });
  const row = aki.page.getByRole("link", { name: /news/ });
  await row.click();
  await composer(aki.page).waitFor();
  return { server, write, aki, page: aki.page, writer, conversation: c.id, errors: aki.errors };
}

const numbered = (n) => Array.from({ length: n }, (_, i) => `message ${i + 1}.`);

/** The text of the message that has the focus itself, "" for none. */
const focused = (page) =>
  page.evaluate(() => {
    const e = document.activeElement;
    return e.matches("article") ? (e.querySelector(".markdown") ?? e).textContent : "";
  });
async function assertFocused(page, text, what) {
  await waitUntil(async () => (await focused(page)).includes(text), `${what}: the focus is on ${text}`);
}
const isInView = (page) =>
  page.evaluate(() => {
    const box = document.querySelector("[data-timeline]").getBoundingClientRect();
    const b = document.activeElement.getBoundingClientRect();
    return b.top >= box.top - 1 && b.bottom <= box.bottom + 1;
  });
async function press(page, key, times = 1) {
  for (let i = 0; i < times; i++) await page.keyboard.press(key);
}
/** Presses a key that moves the focus, as often as said, each time when it has moved. */
async function step(page, key, times = 1) {
  for (let i = 0; i < times; i++) {
    const before = await focused(page);
    await page.keyboard.press(key);
    await waitUntil(async () => ![before, ""].includes(await focused(page)), `${key} moves the focus`);
  }
}
const isWriting = (page) =>
  waitUntil(
    () => composer(page).evaluate((e) => e === document.activeElement),
    "the focus is in the composer",
  );

test("the timeline is one stop of the tab key; arrows go through it, older and newer ones load", async () => {
  const s = await setup(numbered(300));
  const { page } = s;
  await messageWith(page, "message 300.").waitFor();
  await isWriting(page);

  // One stop: before it is the header's button, after it the composer.
  await press(page, "Shift+Tab");
  await assertFocused(page, "message 300.", "from the composer");
  assert.equal(await page.locator('[role=log] [tabindex="0"]').count(), 1);
  await press(page, "Shift+Tab");
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Members and settings");
  await press(page, "Tab");
  await assertFocused(page, "message 300.", "from before");
  await press(page, "Tab");
  await isWriting(page);
  await press(page, "Shift+Tab");

  // Up through all that is loaded, and what is not yet.
  for (let n = 299; n >= 150; n--) {
    await step(page, "ArrowUp");
    if (n % 25) continue;
    await assertFocused(page, `message ${n}.`, "up");
    assert.ok(await isInView(page), `message ${n} is in view`);
  }
  await step(page, "ArrowDown", 2);
  await assertFocused(page, "message 152.", "down");
  await press(page, "PageUp");
  await waitUntil(async () => /^message 1[1-4]\d\./.test(await focused(page)), "a page up");
  assert.ok(await isInView(page), "after a page up");
  await press(page, "PageDown");
  await waitUntil(async () => /^message 1[4-6]\d\./.test(await focused(page)), "a page down");

  await press(page, "Home");
  await assertFocused(page, "message 1.", "the first");
  await waitUntil(() => isInView(page), "the first message is in view");
  await press(page, "ArrowUp");
  await assertFocused(page, "message 1.", "nothing is before it");
  await step(page, "ArrowDown", 120);
  await assertFocused(page, "message 121.", "newer ones are loaded");
  assert.ok(await isInView(page), "message 121 is in view");
  await press(page, "End");
  await assertFocused(page, "message 300.", "the last");
  await waitUntil(() => isInView(page), "the last message is in view");
  await press(page, "Home");
  await assertFocused(page, "message 1.", "the first again");
  await page.getByRole("button", { name: /Jump to latest/ }).click();
  await assertFocused(page, "message 300.", "after the button that went away");
  await press(page, "Escape");
  await isWriting(page);
  assert.deepEqual(s.errors, []);
});

/** Presses keys one right after the other, before the browser paints in between. */
const pressAtOnce = (page, ...keys) =>
  page.evaluate(async (keys) => {
    for (const key of keys) {
      const e = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
      document.activeElement.dispatchEvent(e);
      for (let i = 0; i < 20; i++) await null; // what was rendered for it takes effect
    }
  }, keys);

test("keys that are pressed faster than rows appear do what they do when pressed slowly", async () => {
  const s = await setup(numbered(300));
  const { page } = s;
  await messageWith(page, "message 300.").waitFor();
  // The pages of messages wait until they are let through.
  let hold = [];
  let isHeld = false;
  const release = async () => {
    isHeld = false;
    for (const go of hold) await go();
    hold = [];
  };
  await page.route(/\/messages\?/, (route) =>
    isHeld ? hold.push(() => route.continue()) : route.continue(),
  );
  const isAsked = () => waitUntil(() => hold.length > 0, "a page is asked for");

  // Up over the edge of what is loaded, wherever that is.
  isHeld = true;
  await press(page, "Shift+Tab");
  await press(page, "ArrowUp", 150);
  await isAsked();
  await press(page, "ArrowDown", 2);
  await release();
  await assertFocused(page, "message 152.", "150 up, and two down");
  await waitUntil(() => isInView(page), "message 152 is in view");

  // What is pressed after Home and End starts there.
  isHeld = true;
  await press(page, "Home");
  await isAsked();
  await press(page, "ArrowDown", 3);
  await press(page, "ArrowUp");
  await release();
  await assertFocused(page, "message 3.", "three down from the first, and one up");
  await waitUntil(() => isInView(page), "message 3 is in view");
  isHeld = true;
  await press(page, "End");
  await isAsked();
  await press(page, "ArrowUp", 2);
  await press(page, "Home");
  await press(page, "ArrowDown");
  await release();
  await assertFocused(page, "message 2.", "to the end, and back to the second");
  await waitUntil(() => isInView(page), "message 2 is in view");

  // What cannot be loaded is not waited for.
  await page.route(/\/messages\?/, (route) => route.abort());
  await press(page, "End");
  await waitUntil(async () => {
    await press(page, "ArrowDown");
    return (await focused(page)).includes("message 5.");
  }, "the arrow keys go on from where the focus is");
  await page.unrouteAll();

  // Nor does what was waited for take the focus from where one has gone.
  isHeld = true;
  await page.route(/\/messages\?/, (route) =>
    isHeld ? hold.push(() => route.continue()) : route.continue(),
  );
  await press(page, "End");
  await isAsked();
  await press(page, "ArrowUp");
  await press(page, "Escape");
  await isWriting(page);
  await release();
  await messageWith(page, "message 300.").waitFor();
  await isWriting(page);
  assert.deepEqual(
    s.errors.filter((e) => !/ERR_FAILED/.test(e)),
    [],
  );
});

test("what is in a message comes after it: what it answers, links, what scrolls, its menu", async () => {
  const s = await setup([
    "first",
    `[a link](https://example.org) and\n\n\`\`\`\n${"wide ".repeat(200)}\n\`\`\``,
  ]);
  const { page } = s;
  await s.write("an answer", { reply_to: 2 });
  await messageWith(page, "an answer").waitFor();
  await press(page, "Shift+Tab");
  await press(page, "End");
  await assertFocused(page, "an answer", "the last");
  await press(page, "ArrowUp");
  await assertFocused(page, "a link", "the one before");
  await press(page, "Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "a link");
  await press(page, "Tab");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "PRE");
  await press(page, "ArrowRight");
  await page.waitForFunction(() => document.activeElement.scrollLeft > 0);
  await press(page, "Shift+Tab", 2);
  await assertFocused(page, "a link", "back");
  await press(page, "Tab", 3);
  await isWriting(page);

  // The quote leads to what it quotes, and the focus goes along.
  await press(page, "Shift+Tab");
  await press(page, "End");
  await press(page, "Tab");
  await press(page, "Enter");
  await assertFocused(page, "a link", "what is answered");
  assert.deepEqual(s.errors, []);
});

test("keys reply, edit, copy, delete and open the menu, and the focus is never lost", async () => {
  const s = await setup(numbered(3));
  const { page, aki } = s;
  await aki.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await sendMessage(page, "mine");
  await messageWith(page, "mine").getByRole("img", { name: /Accepted|Delivered/ }).waitFor(); // prettier-ignore
  await press(page, "Shift+Tab");
  await assertFocused(page, "mine", "the last");

  await press(page, "e");
  await isWriting(page);
  assert.equal(await composer(page).inputValue(), "mine");
  await composer(page).fill("mine, changed");
  await press(page, "Enter");
  await messageWith(page, "mine, changed").getByText("(edited)").waitFor();
  await press(page, "Shift+Tab");
  await assertFocused(page, "mine, changed", "again");
  await press(page, "c");
  await page.locator("[aria-live=polite] p", { hasText: "Copied" }).waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "mine, changed");
  await assertFocused(page, "mine, changed", "copied");

  // Of another's message there is a reply, and nothing else.
  await press(page, "ArrowUp");
  await press(page, "e");
  await press(page, "Delete");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await assertFocused(page, "message 3.", "not one's own");
  await press(page, "r");
  await isWriting(page);
  await page.getByText("Replying to writer: message 3.").waitFor();
  await sendMessage(page, "an answer");
  await messageWith(page, "an answer").getByRole("img", { name: /Accepted|Delivered/ }).waitFor(); // prettier-ignore

  // The menu, and back to the message.
  await press(page, "Shift+Tab");
  await assertFocused(page, "an answer", "the answer");
  await press(page, "Enter");
  const menu = page.getByRole("menu");
  await menu.waitFor();
  await press(page, "Escape");
  await menu.waitFor({ state: "detached" });
  await assertFocused(page, "an answer", "after the menu");
  await press(page, "ContextMenu");
  await menu.waitFor();
  await press(page, "Escape");
  await menu.waitFor({ state: "detached" });

  // Not deleted, then deleted: the focus stays on what is left of it.
  await press(page, "Backspace");
  const dialog = page.getByRole("alertdialog");
  await dialog.waitFor();
  await press(page, "Control+k"); // nothing opens over a question
  assert.equal(await page.getByRole("combobox").count(), 0);
  await press(page, "Escape");
  await dialog.waitFor({ state: "detached" });
  await assertFocused(page, "an answer", "not deleted");
  await press(page, "Delete");
  await dialog.getByRole("button", { name: "Delete" }).press("Enter");
  await dialog.waitFor({ state: "detached" });
  await assertFocused(page, "Message deleted", "deleted");
  await press(page, "Delete");
  assert.equal(await dialog.count(), 0);
  await press(page, "ArrowUp");
  await assertFocused(page, "mine, changed", "above it");

  // The same from the menu.
  await press(page, "Enter");
  await menu.getByRole("menuitem", { name: "Delete" }).press("Enter");
  await dialog.getByRole("button", { name: "Delete" }).press("Enter");
  await dialog.waitFor({ state: "detached" });
  await assertFocused(page, "Message deleted", "deleted from the menu");
  await press(page, "ArrowUp");
  await assertFocused(page, "message 3.", "above it");
  await press(page, "Enter");
  await menu.waitFor();
  await press(page, "Escape");
  await menu.waitFor({ state: "detached" });
  await assertFocused(page, "message 3.", "after a menu in which nothing is chosen");

  // With others arriving, and a message of one's own that gets stored while it has the focus.
  for (let i = 0; i < 5; i++) await s.write(`news ${i}`);
  await messageWith(page, "news 4").waitFor();
  await assertFocused(page, "message 3.", "after others have arrived");
  await press(page, "Escape");
  await isWriting(page);
  await aki.context.setOffline(true);
  await s.server.kill();
  await sendMessage(page, "written offline");
  await messageWith(page, "written offline").waitFor();
  await press(page, "Shift+Tab");
  await assertFocused(page, "written offline", "not sent yet");
  await s.server.run();
  await aki.context.setOffline(false);
  await page.locator("[data-seq]", { hasText: "written offline" }).waitFor();
  await assertFocused(page, "written offline", "stored");
  assert.deepEqual(s.errors, []);
});

test("a message is called by its author, its time, what it answers and what has become of it", async () => {
  const s = await setup(["Lunch at **noon**?"]);
  const { page } = s;
  await sendMessage(page, "Yes");
  await page.locator('[data-seq="2"]').waitFor();
  await s.write("Good", { reply_to: 2 });
  const name = async (text, which = -1) => (await messageWith(page, text).nth(which).getAttribute("aria-label")).replace(/\d?\d:\d\d(\s[AP]M)?/, "TIME"); // prettier-ignore
  await messageWith(page, "Good").waitFor();
  await page.getByRole("img", { name: /Read|Delivered/ }).waitFor();
  assert.equal(await name("noon"), "writer, TIME");
  assert.match(await name("Yes", 0), /^aki, TIME, (Delivered|Read)$/);
  assert.equal(await name("Good"), "writer, TIME, in reply to aki: Yes");
  const described = await messageWith(page, "noon").first().evaluate((e) => document.getElementById(e.getAttribute("aria-describedby")).textContent); // prettier-ignore
  assert.equal(described.trim(), "Lunch at noon?");
  await press(page, "ArrowUp");
  await composer(page).fill("Yes!");
  await press(page, "Enter");
  await messageWith(page, "(edited)").waitFor();
  assert.match(await name("(edited)"), /^aki, TIME, edited, (Delivered|Read)$/);
  assert.equal(await name("Good"), "writer, TIME, in reply to aki: Yes!");
  const { items } = await s.server.api(s.writer.token, "GET", `/conversations/${s.conversation}/messages`);
  assert.equal(items.length, 3);
  await s.server.api(s.writer.token, "DELETE", `/conversations/${s.conversation}/messages/1`);
  await messageWith(page, "Message deleted").waitFor();
  assert.equal(await name("Message deleted"), "writer, TIME, Message deleted");
  assert.deepEqual(s.errors, []);
});

test("two equal messages are announced as two", async () => {
  const s = await setup([]);
  const { page } = s;
  // What a live region tells: the elements that are added to it.
  await page.evaluate(() => {
    window.announced = [];
    const region = document.querySelector("[aria-live=polite].sr-only");
    new MutationObserver((changes) => {
      for (const c of changes)
        if (c.type === "characterData") window.announced.push(c.target.data);
        else for (const n of c.addedNodes) window.announced.push(n.textContent);
    }).observe(region, { childList: true, subtree: true, characterData: true });
  });
  for (const text of ["ok", "ok", "and on"]) await s.write(text);
  await page.waitForFunction(() => window.announced.some((t) => t.includes("and on")));
  assert.deepEqual(await page.evaluate(() => window.announced), [
    "writer: ok",
    "writer: ok",
    "writer: and on",
  ]);
  assert.deepEqual(s.errors, []);
});

test("a long message is read by arrows before the next one", async () => {
  const tall = Array.from({ length: 100 }, (_, i) => `line ${i}`).join("\n");
  const s = await setup(["before", tall, "after"]);
  const { page } = s;
  await messageWith(page, "after").waitFor();
  await press(page, "Shift+Tab");
  await press(page, "Home");
  await assertFocused(page, "before", "the first");
  await press(page, "ArrowDown");
  await assertFocused(page, "line 0", "the long one");
  let presses = 0;
  for (; (await focused(page)).includes("line 0"); presses++) await press(page, "ArrowDown");
  await assertFocused(page, "after", "the next");
  assert.ok(presses > 3, `it took ${presses} presses`);

  // From its start, however soon one comes there from the first one.
  await pressAtOnce(page, "Home", "ArrowDown", "ArrowDown");
  await assertFocused(page, "line 0", "the long one again");
  assert.deepEqual(s.errors, []);
});

test("? shows all shortcuts, and a button does; not while one writes", async () => {
  const s = await setup(["hello"]);
  const { page } = s;
  const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await composer(page).focus();
  await press(page, "?");
  assert.equal(await composer(page).inputValue(), "?");
  assert.equal(await dialog.count(), 0);
  await press(page, "Backspace");
  await press(page, "Shift+Tab");
  await press(page, "?");
  await dialog.waitFor();
  // All that is bound is shown: the list is the same one.
  for (const text of [
    "Go to a conversation",
    "Reply",
    "Edit",
    "Delete",
    "Copy",
    "Message actions",
    "Links and buttons in a message",
    "Send",
    "New line",
  ])
    // prettier-ignore
    await dialog.getByRole("term").getByText(text, { exact: true }).first().waitFor();
  await press(page, "Escape");
  await dialog.waitFor({ state: "detached" });
  await assertFocused(page, "hello", "after the dialog");
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click();
  await dialog.waitFor();
  // Single characters can be switched off, also for the next time.
  const single = dialog.getByRole("checkbox", { name: /Single characters/ });
  await single.uncheck();
  assert.equal(await dialog.getByRole("term").getByText("Reply", { exact: true }).count(), 0);
  await dialog.getByRole("term").getByText("Delete", { exact: true }).waitFor();
  await press(page, "Escape");
  await dialog.waitFor({ state: "detached" });
  await page.reload();
  await messageWith(page, "hello").waitFor();
  await composer(page).focus();
  await press(page, "Shift+Tab");
  await assertFocused(page, "hello", "after the page was loaded again");
  await press(page, "?");
  await press(page, "r");
  await assertFocused(page, "hello", "R is a letter like others");
  assert.equal(await dialog.count(), 0);
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click();
  await single.check();
  await dialog.getByRole("term").getByText("Reply", { exact: true }).first().waitFor();
  await press(page, "Control+k"); // nothing opens over it
  assert.equal(await page.getByRole("dialog").count(), 1);
  assert.deepEqual(s.errors, []);
});

test("a dialog gives the focus back, also one whose field takes it at once", async () => {
  const s = await setup(["hello"]);
  const { page } = s;
  const dialog = page.getByRole("dialog");
  for (const name of [
    "Browse channels",
    "Members and settings",
    "Go to a conversation",
    "Keyboard shortcuts",
  ]) {
    const button = page.getByRole("button", { name, exact: true });
    await button.press("Enter");
    await dialog.waitFor();
    await dialog.getByRole("button", { name: "Close" }).waitFor();
    await waitUntil(
      () => dialog.evaluate((e) => e.contains(document.activeElement)),
      `${name} has the focus`,
    );
    await press(page, "Escape");
    await dialog.waitFor({ state: "detached" });
    await waitUntil(
      () => button.evaluate((e) => e === document.activeElement),
      `${name} has the focus again`,
    );
  }
  // One that leads elsewhere does not take it back from there.
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("menuitem", { name: "New group" }).click();
  await page.getByLabel("Title").fill("Team");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("heading", { name: "Team" }).waitFor();
  await dialog.waitFor({ state: "detached" });
  await isWriting(page);
  assert.deepEqual(s.errors, []);
});

test("who leaves a conversation goes on in the list", async () => {
  const s = await setup(["hello"]);
  const { page } = s;
  const other = await s.server.api(s.writer.token, "POST", "/conversations", { kind: "direct", user: (await page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()))).user.id }); // prettier-ignore
  const row = page.locator(`[data-conversation="${other.id}"]`);
  await row.waitFor();
  const isInList = () =>
    page.evaluate(() => document.activeElement?.matches("nav [data-conversation]") ?? false);
  await page.getByRole("button", { name: "Members and settings" }).press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: "Leave" }).press("Enter");
  await page.getByRole("alertdialog").getByRole("button", { name: "Leave" }).press("Enter");
  await page.getByRole("heading", { name: "Pick a conversation" }).waitFor();
  await waitUntil(isInList, "the list has the focus");
  assert.deepEqual(s.errors, []);
});

test("the switcher finds one of 1,000 conversations by its name", async () => {
  const server = await Server.start("--in-flight", "100000");
  const { me, admin, conversations } = await makeConversations(server, 1000, 0);
  const katakana = await server.api(admin.token, "POST", "/conversations", { kind: "group", title: "企画タナカ班", members: [me.id] }); // prettier-ignore
  const { context, page, errors } = await newPage(browser);
  await logIn(context, server, me);
  await page.goto(server.url);
  const rows = page.getByRole("navigation", { name: "Conversations" }).getByRole("listitem");
  await waitUntil(
    async () =>
      (await rows
        .first()
        .getAttribute("aria-setsize")
        .catch(() => "")) === "1001",
    "the list is complete",
  );
  const unread = conversations[500];
  await server.api(unread.writer.token, "POST", `/conversations/${unread.id}/messages`, { id: messageId(1), body: "hello" }); // prettier-ignore
  await page.getByLabel("1 unread message").waitFor();

  await press(page, "Control+k");
  const dialog = page.getByRole("dialog", { name: "Go to a conversation" });
  const input = dialog.getByRole("combobox");
  await input.waitFor();
  await page.waitForFunction(() => document.activeElement.role === "combobox");
  const options = dialog.getByRole("option");
  const active = () =>
    input.evaluate(
      (e) => document.getElementById(e.getAttribute("aria-activedescendant"))?.textContent ?? "",
    );
  await options.first().waitFor();
  assert.equal(await options.first().getAttribute("aria-setsize"), "1001");
  assert.ok((await options.count()) < 60, "only what is in view is in the document");
  assert.match(await active(), /1 unread message/);
  // Through the list, around its end, and with what is active in view.
  await press(page, "ArrowUp");
  assert.equal(await dialog.locator('[aria-selected="true"]').getAttribute("aria-posinset"), "1001");
  await waitUntil(() => dialog.locator('[aria-selected="true"]').isVisible(), "the last is in view");
  await press(page, "ArrowDown");
  await press(page, "PageDown");
  assert.equal(await dialog.locator('[aria-selected="true"]').getAttribute("aria-posinset"), "9");

  for (const [text, name] of [
    ["ﾀﾅｶ", "企画タナカ班"],
    ["たなか", "企画タナカ班"],
    ["ＧＲＯＵＰ 773", "Group 773"],
    ["#channel 439", "channel 439"],
  ]) {
    await input.fill(text);
    await waitUntil(async () => (await active()).includes(name), `${text} finds ${name}`);
    assert.equal(await options.count(), 1, text);
  }
  await input.fill("nobody at all");
  await dialog.getByText("No conversation found").waitFor();
  assert.equal(await input.getAttribute("aria-expanded"), "false");
  await press(page, "Enter");
  assert.equal(await dialog.count(), 1);

  await input.fill("タナカ");
  await press(page, "Enter");
  await dialog.waitFor({ state: "detached" });
  await page.waitForURL(`${server.url}/c/${katakana.id}`);
  await isWriting(page);
  // From where one writes, to where one is, and away again.
  await press(page, "Control+k");
  await input.waitFor();
  await press(page, "Escape");
  await dialog.waitFor({ state: "detached" });
  await isWriting(page);
  await page.getByRole("button", { name: "Go to a conversation" }).click();
  await input.fill("group 773");
  await press(page, "Enter");
  await page.waitForURL((u) => u.pathname === `/c/${conversations[773].id}`);
  await isWriting(page);
  assert.deepEqual(errors, []);
});
