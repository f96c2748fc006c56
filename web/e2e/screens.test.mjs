import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bubble, composer, launch, message, person, say, seriousFaults, Server } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launch();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Finds no serious fault on what the page shows now, in both themes. */
async function check(page, what) {
  for (const theme of ["light", "dark"]) {
    await page.evaluate((t) => (document.documentElement.dataset.theme = t), theme);
    assert.deepEqual(await seriousFaults(page), [], `${what}, ${theme}`);
    if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/${what}-${theme}.png` });
  }
}

test("no screen has a serious accessibility fault", async () => {
  const context = await browser.newContext({
    locale: "en-US",
    reducedMotion: "reduce",
    viewport: { width: 1200, height: 800 },
  });
  const first = await context.newPage();
  await first.goto(server.url);
  await first.getByText("This is the first account.").waitFor();
  await check(first, "register");
  await context.close();

  const aki = await person(browser, server, "aki");
  await check(aki.page, "empty");
  await aki.page.getByRole("button", { name: "New conversation" }).click();
  await aki.page.getByRole("menuitem", { name: "New channel" }).click();
  await check(aki.page, "new-channel");
  await aki.page.getByLabel("Title").fill("general");
  await aki.page.getByLabel("Topic").fill("Everything and nothing");
  await aki.page.getByRole("button", { name: "Create", exact: true }).click();
  await composer(aki.page).waitFor();

  const ben = await person(browser, server, "ben", { viewport: { width: 390, height: 844 }, hasTouch: true });
  await ben.page.getByRole("button", { name: "Browse channels" }).click();
  await check(ben.page, "channels-phone");
  await ben.page.getByRole("button", { name: "Join general" }).click();
  await say(ben.page, "Good morning! Here is the plan:\n\n- write **tests**\n- `make test`\n- go home");
  await say(aki.page, "Sounds good. See https://example.org for the rest.");
  await bubble(ben.page, "Sounds good").waitFor();
  await check(ben.page, "timeline-phone");
  await ben.page.getByRole("button", { name: "Back to conversations" }).click();
  await check(ben.page, "list-phone");
  await say(aki.page, "Anyone there?");
  await ben.page.getByLabel("1 unread message").waitFor();

  await message(aki.page, "ben");
  await say(aki.page, "Hi Ben, just between us.");
  await bubble(aki.page, "just between us").waitFor();
  await aki.page.getByRole("link", { name: /general/ }).click();
  await bubble(aki.page, "Anyone there?").waitFor();
  await check(aki.page, "timeline");
  await aki.page.getByRole("button", { name: "Members and settings" }).click();
  await aki.page.getByRole("button", { name: "New link" }).click();
  await aki.page.getByRole("dialog").getByRole("button", { name: "Copy" }).waitFor();
  await check(aki.page, "members");
  await aki.page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await aki.page.getByRole("button", { name: /@aki Settings/ }).click();
  await aki.page.getByText("Administration").waitFor();
  await check(aki.page, "settings");
  await aki.page.getByLabel("Language").selectOption("ja");
  await aki.page.getByRole("dialog").getByRole("button", { name: "閉じる" }).click();
  await check(aki.page, "timeline-ja");
  assert.deepEqual([...aki.faults, ...ben.faults], []);
  await aki.context.close();
  await ben.context.close();

  const login = await (
    await browser.newContext({
      locale: "ja-JP",
      reducedMotion: "reduce",
      viewport: { width: 390, height: 844 },
    })
  ).newPage();
  await login.goto(server.url);
  await login.getByRole("heading", { name: "ログイン" }).waitFor();
  await check(login, "login-ja-phone");
});
