// What people see of texts of all kinds, and how they find people by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageId,
  messageWith,
  newPage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

const shot = async (page, name) => {
  if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/${name}.png` });
};

/** Starts a server with aki's page, and has ben write to her. */
async function setup(texts, options = {}) {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki", options);
  const me = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const ben = await server.registerAccount("ben");
  await server.api(ben.token, "PATCH", "/me", { display_name: "בן Ben" });
  const c = await server.api(ben.token, "POST", "/conversations", { kind: "direct", user: me.user.id });
  let n = 0;
  for (const body of texts)
    await server.api(ben.token, "POST", `/conversations/${c.id}/messages`, { id: messageId(++n), body });
  return { server, aki };
}

const columns = (n, cell) => "|" + Array.from({ length: n }, (_, i) => cell(i)).join("|") + "|\n";
const wideTable =
  columns(14, (i) => `Column ${i}`) +
  columns(14, () => "-") +
  columns(14, (i) => (i % 2 ? `飛脚の値${i}` : `value ${i}`));

test("texts of all kinds stay in their place, on a phone too", async () => {
  const texts = [
    "**「強調」**という意味、**重要（必読）**です",
    "2019. a great year\n2021. another one",
    "1. one\n2. two\n10. ten",
    "[mika]: ok",
    "[](https://example.com/x)",
    "[https://bank.example](https://evil.example/x)",
    "שלום, עולם! (test) 123.\n\n- ראשון\n- שני\n\n> ציטוט",
    "a message before the marks",
    "e" + "\u0301".repeat(300),
    wideTable,
    "```\n" + "a long line of code ".repeat(12) + "\n```",
    "the last one with **bold** and `code`",
  ];
  const { aki } = await setup(texts, { viewport: { width: 390, height: 844 } });
  const { page } = aki;
  await page.getByRole("link", { name: /the last one with bold and code/ }).waitFor(); // no Markdown in the list
  await shot(page, "texts-list");
  await page.getByRole("link", { name: /the last one/ }).click();
  await messageWith(page, "the last one").waitFor();

  const table = page.locator(".markdown .scroll:has(table)");
  await table.waitFor();
  const box = await table.evaluate((e) => ({
    right: e.getBoundingClientRect().right,
    scrolls: e.scrollWidth > e.clientWidth,
    cells: [...e.querySelectorAll("td")].map((td) => td.getBoundingClientRect().height),
    page: document.documentElement.scrollWidth,
  }));
  assert.ok(box.right <= 390 && box.page <= 390 && box.scrolls, JSON.stringify(box));
  assert.ok(Math.max(...box.cells) < 40, `cells are on one line: ${box.cells}`);
  assert.ok(await page.locator("pre.scroll").evaluate((e) => e.scrollWidth > e.clientWidth));
  await shot(page, "texts-phone-end");

  // The piled marks paint nothing over the message before them.
  const marks = page.locator(".markdown", { hasText: "e\u0301\u0301" });
  assert.equal(await marks.evaluate((e) => getComputedStyle(e).overflowY), "clip");
  assert.ok((await marks.evaluate((e) => e.textContent.trim().length)) <= 9);

  await page.locator("[data-timeline]").evaluate((e) => (e.scrollTop = 0));
  const hebrew = page.locator(".markdown p", { hasText: "שלום" });
  await hebrew.waitFor();
  assert.equal(await hebrew.evaluate((e) => getComputedStyle(e).direction), "rtl");
  for (const [theme, name] of [
    ["light", "texts-phone-light"],
    ["dark", "texts-phone-dark"],
  ]) {
    await page.evaluate((t) => (document.documentElement.dataset.theme = t), theme);
    await shot(page, name);
  }
  const list = page.locator(".markdown ol", { hasText: "a great year" });
  assert.deepEqual(await list.evaluate((e) => [e.start, e.children[1].value]), [2019, 2021]);
  assert.deepEqual(await messageWith(page, "強調").locator("strong").allTextContents(), [
    "「強調」",
    "重要（必読）",
  ]);
  await page.getByRole("link", { name: "https://bank.example (evil.example)" }).waitFor();
  await messageWith(page, "[mika]: ok").waitFor();

  // The composer writes from right to left, and sends nothing that shows nothing.
  await composer(page).fill("שלום");
  assert.equal(await composer(page).evaluate((e) => getComputedStyle(e).direction), "rtl");
  await composer(page).fill("\u200b \u2800");
  assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
  assert.deepEqual(aki.errors, []);
});

test("one message that is made to be slow does not stop the page", async () => {
  const slow = "a|".repeat(60) + "\n" + "-|".repeat(60) + "\n" + "|\n".repeat(7500);
  const { aki } = await setup([slow, "after it"]);
  await aki.page.getByRole("link", { name: /after it/ }).click();
  await messageWith(aki.page, "a|a|").waitFor(); // what was never read begins here
  assert.ok((await aki.page.locator(".markdown *").count()) < 1000);
  await aki.page.getByRole("button", { name: /Jump to latest/ }).click();
  await messageWith(aki.page, "after it").waitFor();
});

test("people are found without diacritics, case, widths, and with an @", async () => {
  const { server, aki } = await setup([]);
  for (const [name, display_name] of [
    ["sio", "Siobhán Müller"],
    ["ipk", "İpek"],
    ["kaho", "ﾀﾅｶ かほ"],
  ])
    await server.api((await server.registerAccount(name)).token, "PATCH", "/me", { display_name });
  const { page } = aki;
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("menuitem", { name: "Message someone" }).click();
  for (const [query, name] of [
    ["siobhan", "sio"],
    ["MULLER", "sio"],
    ["ipek", "ipk"],
    ["@ben", "ben"],
    ["たなか", "kaho"],
  ]) {
    await page.getByLabel("Search people by name").fill(query);
    const people = page.getByRole("group", { name: "People" }).getByRole("button");
    await waitUntil(
      async () => (await people.count()) === 1 && (await people.first().textContent()).includes("@" + name),
      `${query} finds ${name} alone`,
    );
  }
});

test("copying works on a page without HTTPS, and says when it does not", async () => {
  const { server, aki } = await setup(["to be **copied**"]);
  const { origin } = new URL(server.url);
  const host = origin.replace("127.0.0.1", "chat.example");
  // Only addresses of this machine are as good as HTTPS for a browser; this name leads here too.
  const { chromium } = await import("playwright-core");
  const other = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP chat.example 127.0.0.1"],
  });
  try {
    const { page, context } = await newPage(other);
    await page.goto(host);
    await page.getByLabel("Name", { exact: true }).fill(aki.name);
    await page.getByLabel("Password").fill("correct horse");
    await page.locator("form").getByRole("button", { name: "Log in" }).click();
    await page.getByRole("navigation", { name: "Conversations" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard), undefined);
    await page.getByRole("link", { name: /to be copied/ }).click();
    const message = messageWith(page, "to be copied");
    await message.hover();
    await message.getByRole("button", { name: "Message actions" }).click();
    await page.getByRole("menuitem", { name: "Copy" }).click();
    await page.getByRole("menuitem", { name: "Copied" }).waitFor();
    await page.keyboard.press("Escape");
    await composer(page).click();
    await page.keyboard.press("Control+V");
    await waitUntil(
      async () => (await composer(page).inputValue()) === "to be **copied**",
      "the text is pasted",
    );

    await page.evaluate(() => (document.execCommand = () => false));
    await message.hover();
    await message.getByRole("button", { name: "Message actions" }).click();
    await page.getByRole("menuitem", { name: "Copy" }).click();
    await page.getByRole("menuitem", { name: /does not let the page copy/ }).waitFor();
    await shot(page, "copy-failed");
    await context.close();
  } finally {
    await other.close();
  }
});
