// What a finger does on a phone.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageId,
  messageWith,
  picture,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const title = "A group with a title that is as long as a title may be, and no window is so wide";

/** Opens a group with messages of ben's on aki's phone. */
async function setup({ count = 30, ...options } = {}) {
  const server = await Server.start();
  const ben = await server.registerAccount("ben");
  const aki = await signUp(browser, server, "aki", { ...phone, ...options });
  const me = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const c = await server.api(ben.token, "POST", "/conversations", { kind: "group", title, members: [me.user.id] }); // prettier-ignore
  const write = (n, body = `message ${n}`) =>
    server.api(ben.token, "POST", `/conversations/${c.id}/messages`, { id: messageId(n), body });
  for (let n = 1; n <= count; n++) await write(n);
  await aki.page.getByRole("link", { name: new RegExp(`message ${count}$|message ${count} `) }).waitFor();
  const finger = await aki.context.newCDPSession(aki.page);
  /** Moves a finger in a straight line, and lifts it unless it is to rest. */
  const drag = async ([x, y], [toX, toY], { lift = true } = {}) => {
    const touch = (type, ...touchPoints) => finger.send("Input.dispatchTouchEvent", { type, touchPoints });
    await touch("touchStart", { x, y });
    for (let i = 1; i <= 10; i++)
      await touch("touchMove", { x: x + ((toX - x) * i) / 10, y: y + ((toY - y) * i) / 10 });
    if (lift) await touch("touchEnd");
    return () => touch("touchEnd");
  };
  const open = async (last = `message ${count}`) => {
    await aki.page.getByRole("link", { name: /A group with/ }).click();
    await messageWith(aki.page, /message \d/)
      .first()
      .waitFor();
    const jump = aki.page.getByRole("button", { name: "Jump to latest" });
    if (count > 10) await jump.click(); // it opens at the first unread message
    await messageWith(aki.page, last).waitFor();
  };
  return { server, ben, aki, page: aki.page, c, write, drag, open };
}

const isFocused = (locator) => locator.evaluate((e) => e === document.activeElement);
const replyTo = (page, text) => page.locator("form").getByText(text);
const scrollTop = (page) => page.locator("[data-timeline]").evaluate((e) => e.scrollTop);
const sizeOf = (locator) => locator.boundingBox();

test("Enter makes a new line, the button sends, and no keyboard comes up by itself", async () => {
  const { page, open, aki } = await setup({ count: 3 });
  await open();
  const text = composer(page);
  await text.waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  assert.equal(await isFocused(text), false);
  assert.equal(await text.getAttribute("enterkeyhint"), "enter");
  // The title in it is cut off at one line's end.
  assert.ok((await sizeOf(text)).height < 50);
  await picture(page, "touch-empty");

  await text.tap();
  await page.keyboard.type("one");
  await page.keyboard.press("Enter");
  await page.keyboard.type("two");
  assert.equal(await text.inputValue(), "one\ntwo");
  const send = page.getByRole("button", { name: "Send" });
  const { width, height } = await sizeOf(send);
  assert.ok(width >= 44 && height >= 44, `${width} x ${height}`);
  await send.tap();
  await messageWith(page, "two").getByRole("img", { name: "Delivered" }).waitFor();
  assert.equal(await messageWith(page, "one").count(), 1);
  assert.equal(await text.inputValue(), "");
  assert.ok(await isFocused(text)); // the keyboard stays for the next message
  // With a real keyboard.
  await page.keyboard.type("three");
  await page.keyboard.press("Control+Enter");
  await messageWith(page, "three").waitFor();
  assert.deepEqual(aki.errors, []);
});

test("with a mouse Enter sends, and a conversation that is opened can be written to", async () => {
  const desktop = { hasTouch: false, isMobile: false, viewport: { width: 1200, height: 800 } };
  const { page, open } = await setup({ count: 1, ...desktop });
  await open();
  const text = composer(page);
  await waitUntil(() => isFocused(text), "the text has the focus");
  assert.equal(await text.getAttribute("enterkeyhint"), "send");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");
  await messageWith(page, "one").getByText("two").waitFor();
});

for (const reducedMotion of ["reduce", "no-preference"])
  test(`a swipe to the left replies, motion: ${reducedMotion}`, async () => {
    const { page, open, drag, aki } = await setup({ reducedMotion });
    await open();
    await waitUntil(async () => (await scrollTop(page)) > 100, "the end is in view");
    const row = messageWith(page, "message 28");
    const { y, height } = await sizeOf(row);
    const middle = y + height / 2;
    const at = [300, middle];
    const bodyLeft = () => row.getByText("message 28").evaluate((e) => e.getBoundingClientRect().left);
    const left = await bodyLeft();

    // Not far enough: there is a sign, which goes away again.
    let lift = await drag(at, [270, middle], { lift: false });
    assert.equal(await row.getAttribute("data-swipe"), "begun");
    await lift();
    assert.equal(await row.getAttribute("data-swipe"), null);
    // Far enough, and back again.
    lift = await drag(at, [200, middle], { lift: false });
    assert.equal(await row.getAttribute("data-swipe"), "reached");
    assert.equal((await bodyLeft()) < left, reducedMotion === "no-preference");
    await picture(page, "touch-swipe-" + reducedMotion);
    await lift();
    await replyTo(page, "message 28").waitFor();
    assert.ok(await isFocused(composer(page)));
    assert.equal(await bodyLeft(), left);
    // A tap right behind a fast swipe is none to the browser.
    await page.getByRole("button", { name: "Cancel" }).press("Enter");

    // Neither the other way, nor from the edges, which are the system's, nor aslant.
    await drag([200, middle], [350, middle]);
    await drag([380, middle], [200, middle]);
    await drag([25, middle], [5, middle]);
    const before = await scrollTop(page);
    await drag([300, middle - 300], [240, middle - 100]);
    await waitUntil(async () => (await scrollTop(page)) < before, "scrolled");
    assert.equal(await page.locator("[data-swipe]").count(), 0);
    assert.equal(await replyTo(page, "message").count(), 0);
    assert.deepEqual(aki.errors, []);
  });

test("a wide table under the finger scrolls, and does not reply", async () => {
  const { page, open, drag, write } = await setup({ count: 2 });
  const cells = (f) => "|" + Array.from({ length: 14 }, (_, i) => f(i)).join("|") + "|\n";
  await write(3, cells((i) => `column ${i}`) + cells(() => "-") + cells((i) => `value ${i}`));
  await open();
  const table = page.locator(".scroll");
  await table.waitFor();
  const { x, y } = await sizeOf(table);
  await drag([x + 250, y + 20], [x + 50, y + 20]);
  await waitUntil(() => table.evaluate((e) => e.scrollLeft > 50), "the table scrolled");
  assert.equal(await page.getByRole("button", { name: "Cancel" }).count(), 0);
});

test("the menu of a message leaves the message in view, and stays in the window", async () => {
  const { page, open, write, drag } = await setup();
  await write(31, Array.from({ length: 60 }, (_, i) => `line ${i} of a long message`).join("\n\n"));
  await write(32, "the last message");
  await open("the last message");
  const menu = page.getByRole("menu");
  const openMenu = async (row, offset = 15) => {
    // While the list scrolls, what is in it cannot be touched.
    const canTouch = (e, y) => e.contains(document.elementFromPoint(200, e.getBoundingClientRect().y + y));
    await waitUntil(() => row.evaluate(canTouch, offset), "the message can be touched");
    const y = (await sizeOf(row)).y + offset;
    const lift = await drag([200, y], [200, y], { lift: false });
    await menu.waitFor();
    await lift();
    return [await sizeOf(row), await sizeOf(menu)];
  };
  const close = async () => {
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "detached" });
  };
  const inWindow = (m) => m.x >= 0 && m.y >= 0 && m.x + m.width <= 390 && m.y + m.height <= 844;
  const apart = (r, m) => m.y >= r.y + r.height || m.y + m.height <= r.y;

  let [row, box] = await openMenu(messageWith(page, "the last message"));
  assert.ok(inWindow(box) && apart(row, box), JSON.stringify([row, box]));
  await picture(page, "touch-menu-last");
  await close();
  // One that is higher than the window is covered in part.
  [row, box] = await openMenu(messageWith(page, "line 59"), 1700);
  assert.ok(inWindow(box), JSON.stringify([row, box]));
  await picture(page, "touch-menu-long");
  await close();
  await page.locator("[data-timeline]").evaluate((e) => e.scrollTo(0, 0));
  const first = page.locator('[data-seq="1"]');
  await first.waitFor();
  [row, box] = await openMenu(first);
  assert.ok(inWindow(box) && apart(row, box), JSON.stringify([row, box]));
  await close();
});

test("the menu closes when its message is deleted meanwhile, and what is left of it has the focus", async () => {
  const { server, ben, c, page, open } = await setup({ count: 3 });
  await open();
  await page.getByRole("button", { name: "Message actions" }).nth(1).press("Enter");
  const menu = page.getByRole("menu");
  await menu.waitFor();
  await server.api(ben.token, "DELETE", `/conversations/${c.id}/messages/2`);
  await menu.waitFor({ state: "detached" });
  await page.getByText("Message deleted").waitFor();
  await waitUntil(
    () => page.evaluate(() => document.activeElement.matches("[data-seq]")),
    "what is left of the message has the focus",
  );
  // A menu that is open shows the message as it is now.
  await page.getByRole("button", { name: "Message actions" }).nth(1).press("Enter");
  await server.api(ben.token, "PATCH", `/conversations/${c.id}/messages/3`, { body: "as it is now" });
  await messageWith(page, "as it is now").waitFor();
  await menu.getByRole("menuitem", { name: "Reply" }).press("Enter");
  await replyTo(page, "as it is now").waitFor();
  await sendMessage(page, "answer");
});

test("titles of channels can be read in full", async () => {
  const { server, ben, page } = await setup({ count: 1 });
  await server.api(ben.token, "POST", "/conversations", { kind: "channel", title, topic: "t ".repeat(100) });
  await page.getByRole("button", { name: "Browse channels" }).tap();
  const found = page.getByRole("dialog").getByText(title, { exact: true }).first();
  await found.waitFor();
  const cut = await found.evaluate(
    (e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight + 1,
  );
  assert.equal(cut, false);
  await picture(page, "touch-channels");
});
