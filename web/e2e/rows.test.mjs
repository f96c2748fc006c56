// What the rows of conversations and the lines of messages show.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  messageId,
  messageWith,
  openDirectConversation,
  picture,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const row = (page, name) => page.getByRole("navigation").getByRole("link", { name });

/** Starts a server with aki's page, and ben, who can write to her. */
async function setup(options = {}) {
  const server = await Server.start();
  const ben = await server.registerAccount("ben");
  const aki = await signUp(browser, server, "aki", options);
  const { user } = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const direct = await server.api(ben.token, "POST", "/conversations", { kind: "direct", user: user.id });
  let n = 0;
  const write = (body, id = direct.id) =>
    server.api(ben.token, "POST", `/conversations/${id}/messages`, { id: messageId(++n), body });
  return { server, ben, aki, page: aki.page, me: user, direct, write };
}

test("the list says what is not sent, and who wrote last", async () => {
  const { aki, page, write } = await setup();
  await openDirectConversation(page, "ben");
  await sendMessage(page, "first");
  const direct = row(page, /ben/);
  await direct.getByText("first").waitFor();
  await direct.getByText("You", { exact: true }).waitFor();
  assert.equal(await direct.getByText("Sending…").count(), 0);

  await aki.context.setOffline(true);
  await sendMessage(page, "written offline");
  await direct.getByText("Sending…").waitFor();
  await direct.getByText("written offline").waitFor();
  await picture(page, "list-sending");
  await aki.context.setOffline(false);
  await direct.getByText("Sending…").waitFor({ state: "detached" });
  await direct.getByText("written offline").waitFor();

  // A text that is too long for the server is refused for good.
  await page.evaluate(() => {
    TextEncoder.prototype.encode = () => new Uint8Array(1); // the page thinks that it fits
  });
  await sendMessage(page, "too long " + "x".repeat(20_000));
  await direct.getByText("Not sent:").waitFor();
  await direct.getByText(/^too long/).waitFor();
  await direct.getByRole("img", { name: "Not sent" }).waitFor();
  await picture(page, "list-failed");
  // What comes later is shown, and what was not sent is not forgotten.
  await write("an answer");
  await direct.getByText("an answer").waitFor();
  assert.equal(await direct.getByText("Not sent:").count(), 0);
  await direct.getByRole("img", { name: "Not sent" }).waitFor();
  await page.getByRole("button", { name: "Discard" }).click();
  await direct.getByRole("img", { name: "Not sent" }).waitFor({ state: "detached" });
  assert.deepEqual(aki.errors, []);
});

/** Reports for each text of one line in view whether its first character is in view. */
const beginnings = (page) =>
  page.locator(".truncate").evaluateAll((elements) =>
    elements
      .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth)
      .map((e) => {
        const text = document.createTreeWalker(e, NodeFilter.SHOW_TEXT).nextNode();
        const range = document.createRange();
        range.setStart(text, 0);
        range.setEnd(text, 1);
        const [first, box] = [range.getBoundingClientRect(), e.getBoundingClientRect()];
        return [text.data.slice(0, 12), first.left >= box.left - 1 && first.right <= box.right + 1];
      }),
  );

test("what is cut off on one line has its beginning, also from right to left", async () => {
  const hebrew = (word) => (word + " שלום עולם ").repeat(6).trim();
  const { server, ben, page, write, me } = await setup({ viewport: { width: 800, height: 800 } });
  await server.api(ben.token, "PATCH", "/me", { display_name: hebrew("בן").slice(0, 50) });
  const group = await server.api(ben.token, "POST", "/conversations", {
    ...{ kind: "group", title: hebrew("קבוצה").slice(0, 80), topic: hebrew("נושא"), members: [me.id] },
  });
  await write(hebrew("ישיר"));
  await write(hebrew("ראשון"), group.id);
  await row(page, /קבוצה/).click();
  await messageWith(page, "ראשון").waitFor();
  const check = async (...begin) => {
    const seen = await beginnings(page);
    for (const word of begin)
      assert.ok(
        seen.some(([text]) => text.startsWith(word)),
        `${word}: ${seen}`,
      );
    assert.deepEqual(
      seen.filter(([, isSeen]) => !isSeen),
      [],
    );
  };
  await check("קבוצה", "נושא", "ישיר", "ראשון", "בן");
  await picture(page, "rows-hebrew");
  await messageWith(page, "ראשון").hover();
  await messageWith(page, "ראשון").getByRole("button", { name: "Message actions" }).click();
  await page.getByRole("menuitem", { name: "Reply" }).click();
  await page.locator("form").getByText("Replying to").waitFor();
  await check("ראשון");
  await sendMessage(page, "a reply");
  await messageWith(page, "a reply").getByRole("button", { name: /ראשון/ }).waitFor();
  await page.getByRole("button", { name: "Members and settings" }).click();
  await page.getByRole("dialog").getByText("@ben").waitFor();
  await check();
});

test("without a connection there are words where nothing is known, and bars only on the way", async () => {
  const { aki, page, write } = await setup();
  await write("hello");
  await row(page, /ben/).getByText("hello").waitFor();
  // What was never opened.
  await aki.context.setOffline(true);
  await page.getByText(/^You are offline/).waitFor();
  await row(page, /ben/).click();
  const absent = page.locator("main").getByText("The messages of this conversation are not on this device.");
  await absent.waitFor();
  await picture(page, "absent-messages");
  await aki.context.setOffline(false);
  await messageWith(page, "hello").waitFor();
  assert.equal(await absent.count(), 0);
  // The list: the page loads, the socket does not.
  await page.route("**/api/v1/conversations/**", (r) => r.abort());
  await page.routeWebSocket("**/api/v1/socket*", (ws) => ws.close());
  await page.reload();
  await page.getByText("Your conversations appear here as soon as the server can be reached.").waitFor();
  await page.locator("main").getByText("The messages of this conversation are not on this device.").waitFor();
  await picture(page, "absent-list");
  assert.deepEqual(aki.errors, []);
});

test("messages that cannot be loaded are said to be, and can be asked for again", async () => {
  const { page, direct, write } = await setup();
  await write("hello");
  const history = `**/api/v1/conversations/${direct.id}/messages?**`;
  await page.route(history, (r) => r.fulfill({ status: 500, body: "{}" }));
  await row(page, /ben/).click();
  await page.getByText("The messages of this conversation could not be loaded.").waitFor();
  await page.unroute(history);
  await page.getByRole("button", { name: "Try again" }).click();
  await messageWith(page, "hello").waitFor();
});

test("times of day are written as the language does", async () => {
  // Where it is five now, whenever the test runs.
  const hours = (new Date().getUTCHours() - 5 + 24) % 24;
  const timezoneId = hours <= 12 ? `Etc/GMT+${hours}` : `Etc/GMT-${24 - hours}`;
  const { page, write } = await setup({ timezoneId });
  await write("hello");
  await row(page, /ben/).click();
  const times = () => page.locator("time").allTextContents();
  await messageWith(page, "hello").waitFor();
  for (const text of await times()) assert.match(text, /^[56]:\d\d\sAM$/);
  await page.evaluate(() => localStorage.setItem("hikyaku-language", "ja"));
  await page.reload();
  await page.getByRole("article").waitFor();
  for (const text of await times()) assert.match(text, /^[56]:\d\d$/);
});

test("lines of Japanese do not begin with small letters, and long words break", async () => {
  const { page, write } = await setup({ ...phone, locale: "en-US" });
  // Widths at which each of these would begin a line somewhere.
  const text = "びっくりしてコーヒーをちょっとだけこぼしてしまった、ということでしょうか。".repeat(4);
  await write(text);
  await write("a".repeat(300));
  await row(page, /ben/).click();
  const body = messageWith(page, "びっくり").locator(".markdown p");
  await body.waitFor();
  for (const width of Array.from({ length: 12 }, (_, i) => 320 + 7 * i)) {
    await page.setViewportSize({ width, height: 844 });
    const begins = await body.evaluate((p) => {
      const found = [];
      const node = p.firstChild;
      const range = document.createRange();
      let line = null;
      for (let i = 0; i < node.length; i++) {
        range.setStart(node, i);
        range.setEnd(node, i + 1);
        const { top } = range.getBoundingClientRect();
        if (line !== null && top > line + 5) found.push(node.data[i]);
        line = top;
      }
      return found;
    });
    assert.ok(begins.length > 3);
    for (const c of begins)
      assert.doesNotMatch(c, /[っゃゅょッャュョー、。]/, `at ${width}: ${begins.join("")}`);
  }
  const wide = await page.locator("[data-timeline]").evaluate((e) => e.scrollWidth > e.clientWidth);
  assert.equal(wide, false);
  await picture(page, "lines-japanese");
});

test("who has tried to connect at once has the focus where it was", async () => {
  const server = await Server.start();
  const { page, errors } = await signUp(browser, server, "aki");
  await server.kill();
  const again = page.getByRole("button", { name: "Try now" });
  await again.waitFor();
  const browse = page.getByRole("button", { name: "Browse channels" });
  await browse.focus();
  await again.focus();
  await again.press("Enter");
  await server.run(); // the page may be connected before the button could be pressed
  await again.waitFor({ state: "detached" });
  await waitUntil(() => browse.evaluate((e) => e === document.activeElement), "the focus is back");
  assert.deepEqual(errors, []);
});
