import assert from "node:assert/strict";
import { test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import { browser, composer, messageId, messageWith, newPage, sendMessage, Server, useBrowser, waitUntil } from "./harness.mjs"; // prettier-ignore
import { logIn, makeConversations } from "./seed.mjs";

useBrowser();

test("a list of 300 conversations: scrolling, opening the 250th, a message there, the keyboard", async () => {
  const total = 300;
  const server = await Server.start("--in-flight", "100000");
  const { me, conversations } = await makeConversations(server, total, 2 * total);
  const { context, page, errors } = await newPage(browser);
  await logIn(context, server, me);
  await page.goto(server.url);
  const list = page.getByRole("navigation", { name: "Conversations" });
  const rows = list.getByRole("listitem");
  await rows.first().waitFor();
  await waitUntil(
    async () => (await rows.first().getAttribute("aria-setsize")) === String(total),
    "the list is complete",
  );
  assert.ok((await rows.count()) < 40, "only what is in view is in the document");
  assert.deepEqual(await accessibilityViolations(page), []);

  // Scroll through the whole list: each conversation comes once, in the order of activity.
  const seen = new Map();
  for (let top = 0; ; top += 400) {
    const end = await list.evaluate((e, to) => {
      e.scrollTo(0, to);
      return e.scrollTop < to;
    }, top);
    await waitUntil(async () => {
      const inView = await list.evaluate((e) => {
        const box = e.getBoundingClientRect();
        const rows = [...e.querySelectorAll("li")].map((li) => ({ li, box: li.getBoundingClientRect() }));
        const shown = rows.filter((r) => r.box.bottom > box.top + 1 && r.box.top < box.bottom - 1);
        // Without a hole from the upper edge to the lower one.
        const covered = shown.reduce((n, r) => n + r.box.height, 0) >= box.height - 20;
        return (
          covered &&
          shown.map(({ li }) => [Number(li.ariaPosInSet), li.querySelector("a").getAttribute("href")])
        );
      });
      for (const [at, href] of inView || []) seen.set(at, href);
      return inView;
    }, `rows at ${top}`);
    if (end) break;
  }
  assert.equal(seen.size, total);
  assert.equal(new Set(seen.values()).size, total);
  for (let i = 1; i <= total; i++) assert.ok(seen.has(i), `row ${i}`);

  // The 250th, and a message there: it is in the timeline, and the row comes first.
  const id = seen.get(250).replace("/c/", "");
  const { writer } = conversations.find((c) => c.id === id);
  const row = list.locator(`a[href="/c/${id}"]`);
  await list.evaluate((e, part) => e.scrollTo(0, e.scrollHeight * part - e.clientHeight / 2), 250 / total);
  await row.waitFor();
  assert.equal(await row.locator("xpath=..").getAttribute("aria-posinset"), "250");
  await row.click();
  await composer(page).waitFor();
  assert.equal(await row.getAttribute("aria-current"), "page");
  const inView = await list.evaluate((e) => {
    const box = e.getBoundingClientRect();
    const shown = [...e.querySelectorAll("a")].filter((a) => a.getBoundingClientRect().top > box.top + 70);
    return shown.slice(0, 3).map((a) => [a.getAttribute("href"), a.getBoundingClientRect().top]);
  });
  await server.api(writer.token, "POST", `/conversations/${id}/messages`, {
    id: messageId(1),
    body: "news of 250",
  });
  await messageWith(page, "news of 250").waitFor();
  await waitUntil(
    async () => (await row.locator("xpath=..").getAttribute("aria-posinset")) === "1",
    "it comes first",
  );
  // What was in view stays under the pointer, but for the row itself.
  await waitUntil(
    () =>
      list.evaluate(
        (e, rows) =>
          rows.every(([href, top]) => {
            const a = e.querySelector(`a[href="${href}"]`);
            return a && Math.abs(a.getBoundingClientRect().top - top) < 2;
          }),
        inView,
      ),
    "the rows in view have not moved",
  );
  await list.evaluate((e) => e.scrollTo(0, 0));
  await row.getByText("news of 250").waitFor();
  await sendMessage(page, "an answer");
  await row.getByText("an answer").waitFor();

  // The keyboard: one row is in the order of the tab key.
  await row.focus();
  assert.equal(await list.locator('a[tabindex="0"]').count(), 1);
  const focused = () => page.evaluate(() => document.activeElement.closest("li")?.ariaPosInSet);
  for (const [key, to] of [
    ["ArrowDown", 2],
    ["End", total],
    ["ArrowUp", total - 1],
    ["Home", 1],
  ]) {
    await page.keyboard.press(key);
    assert.equal(await focused(), String(to), key);
    const isShown = () =>
      page.evaluate(() => {
        const box = document.querySelector("nav").getBoundingClientRect();
        const r = document.activeElement.getBoundingClientRect();
        return r.top >= box.top - 1 && r.bottom <= box.bottom + 1;
      });
    await waitUntil(isShown, `${key}: the row is in view`);
  }
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await waitUntil(() => page.url().endsWith(seen.get(total)), "Enter opens the row");
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/many.png` });
  assert.deepEqual(errors, []);
});

test("a room of 2,000: its members are loaded as one scrolls, and found by name", async () => {
  const server = await Server.start();
  const { admin, me, others } = await makeConversations(server, 1, 0, 2000);
  const made = await server.api(admin.token, "POST", "/admin/batches/page/conversations", {
    conversations: [{ kind: "channel", title: "everybody", members: [me.id, ...others.map((o) => o.id)] }],
  });
  const { context, page, errors } = await newPage(browser);
  await logIn(context, server, me);
  const asked = [];
  page.on("request", (r) => r.url().includes("/members?") && asked.push(r.url()));
  await page.goto(`${server.url}/c/${made.items[0].id}`);
  await page.getByRole("button", { name: "Members and settings" }).click();
  const dialog = page.getByRole("dialog");
  const list = dialog.getByRole("group", { name: /members/ });
  const rows = list.getByRole("listitem");
  await rows.first().waitFor();
  assert.ok((await rows.count()) < 50, "only what is in view is in the document");
  const atFirst = asked.length;
  assert.ok(atFirst <= 2, `${atFirst} pages before anybody scrolls`);
  await list.evaluate((e) => e.scrollTo(0, e.scrollHeight));
  await waitUntil(() => asked.length > atFirst, "the next page is asked for");
  await waitUntil(async () => {
    await list.evaluate((e) => e.scrollTo(0, e.scrollHeight));
    return rows.filter({ hasText: "@person2000" }).count();
  }, "the last one is there");
  assert.ok((await rows.count()) < 50, "only what is in view is in the document");

  await dialog.getByRole("searchbox", { name: "Search members" }).fill("SON 1234");
  await waitUntil(async () => (await rows.count()) === 1, "one is found");
  await rows.getByText("@person1234").waitFor();
  assert.deepEqual(await accessibilityViolations(page), []);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/members.png` });
  await dialog.getByRole("button", { name: "Remove: Person 1234", exact: true }).click();
  const question = page.getByRole("alertdialog", { name: "Remove Person 1234 from “everybody”?" });
  await question.getByRole("button", { name: "Remove", exact: true }).click();
  await dialog.getByText("Nobody found").waitFor();
  await dialog.getByText("2000 members").waitFor();
  assert.deepEqual(errors, []);
});

test("the list is where it was after a reload, with its server and without", async () => {
  const server = await Server.start("--in-flight", "100000");
  const { me } = await makeConversations(server, 80, 160);
  const { context, page } = await newPage(browser);
  await logIn(context, server, me);
  await page.goto(server.url);
  const list = page.getByRole("navigation", { name: "Conversations" });
  await list.getByRole("link").first().waitFor();
  /** The first row in view, and how far its top is from that of the list. */
  const place = () =>
    list.evaluate((e) => {
      const { top } = e.getBoundingClientRect();
      const rows = [...e.querySelectorAll("li")].map((li) => ({ li, box: li.getBoundingClientRect() }));
      const first = rows.filter((r) => r.box.bottom > top).sort((a, b) => a.box.top - b.box.top)[0];
      return { row: Number(first?.li.ariaPosInSet), offset: first?.box.top - top };
    });
  await list.evaluate((e) => e.scrollTo(0, 1510));
  let before = { row: 0 };
  // Rows have their height once they are measured.
  await waitUntil(async () => {
    const { row, offset } = before;
    before = await place();
    return row > 20 && row === before.row && offset === before.offset;
  }, "the list is scrolled");
  const isThere = async () => {
    const { row, offset } = await place();
    return row === before.row && Math.abs(offset - before.offset) < 2;
  };
  await page.reload();
  await waitUntil(isThere, "the list is where it was");

  await waitUntil(() => page.evaluate(() => Boolean(navigator.serviceWorker.controller)), "the page is kept");
  await waitUntil(
    () =>
      page.evaluate(async (id) => {
        if (!(await indexedDB.databases()).some((d) => d.name === "hikyaku-copy-" + id)) return false;
        const db = await new Promise((done) => {
          indexedDB.open("hikyaku-copy-" + id).onsuccess = (e) => done(e.target.result);
        });
        const count = db.transaction("conversations").objectStore("conversations").count();
        await new Promise((done) => (count.onsuccess = done));
        db.close();
        return count.result === 80;
      }, me.id),
    "the list is kept",
  );
  await server.kill();
  await page.reload();
  await waitUntil(isThere, "the list is where it was, without the server");
});
