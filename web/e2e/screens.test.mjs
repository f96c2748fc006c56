import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  messageWith,
  composer,
  launchBrowser,
  newPage,
  openDirectConversation,
  signUp,
  sendMessage,
  accessibilityViolations,
  Server,
} from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launchBrowser();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Asserts that a screen has no serious accessibility violation, in both themes. */
async function checkScreen(page, name) {
  for (const theme of ["light", "dark"]) {
    await page.evaluate((t) => (document.documentElement.dataset.theme = t), theme);
    assert.deepEqual(await accessibilityViolations(page), [], `${name}, ${theme}`);
    if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/${name}-${theme}.png` });
  }
}

test("no screen has a serious accessibility violation", async () => {
  const { context, page: first } = await newPage(browser);
  await first.goto(server.url);
  await first.getByText("This is the first account.").waitFor();
  await checkScreen(first, "register");
  await context.close();

  const aki = await signUp(browser, server, "aki");
  await checkScreen(aki.page, "empty");
  await aki.page.getByRole("button", { name: "New conversation" }).click();
  await aki.page.getByRole("menuitem", { name: "New channel" }).click();
  await aki.page.getByLabel("Title").waitFor();
  await checkScreen(aki.page, "new-channel");
  await aki.page.getByLabel("Title").fill("general");
  await aki.page.getByLabel("Topic").fill("Everything and nothing");
  await aki.page.getByRole("button", { name: "Create", exact: true }).click();
  await composer(aki.page).waitFor();

  const ben = await signUp(browser, server, "ben", { viewport: { width: 390, height: 844 }, hasTouch: true });
  await ben.page.getByRole("button", { name: "Browse channels" }).click();
  await ben.page.getByRole("button", { name: "Join general" }).waitFor();
  await checkScreen(ben.page, "channels-phone");
  await ben.page.getByRole("button", { name: "Join general" }).click();
  await sendMessage(
    ben.page,
    "Good morning! Here is the plan:\n\n- write **tests**\n- `make test`\n- go home",
  );
  await sendMessage(aki.page, "Sounds good. See https://example.org for the rest.");
  await messageWith(ben.page, "Sounds good").waitFor();
  await checkScreen(ben.page, "timeline-phone");
  await ben.page.getByRole("button", { name: "Back to conversations" }).click();
  await checkScreen(ben.page, "list-phone");
  await sendMessage(aki.page, "Anyone there?");
  await ben.page.getByLabel("1 unread message").waitFor();

  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "Hi Ben, just between us.");
  await messageWith(aki.page, "just between us").waitFor();
  await aki.page.getByRole("link", { name: /general/ }).click();
  await messageWith(aki.page, "Anyone there?").waitFor();
  await checkScreen(aki.page, "timeline");
  await aki.page.getByRole("button", { name: "Members and settings" }).click();
  await aki.page.getByRole("button", { name: "New link" }).click();
  await aki.page.getByRole("dialog").getByRole("button", { name: "Copy" }).waitFor();
  await checkScreen(aki.page, "members");
  await aki.page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await aki.page.getByRole("button", { name: /@aki Settings/ }).click();
  await aki.page.getByRole("heading", { name: "Devices" }).waitFor();
  await checkScreen(aki.page, "settings");
  await aki.page.getByLabel("Language").selectOption("ja");
  await aki.page.getByRole("dialog").getByRole("button", { name: "閉じる" }).click();
  await checkScreen(aki.page, "timeline-ja");
  assert.deepEqual([...aki.errors, ...ben.errors], []);
  await aki.context.close();
  await ben.context.close();

  const { page: login } = await newPage(browser, { locale: "ja-JP", viewport: { width: 390, height: 844 } });
  await login.goto(server.url);
  await login.getByRole("heading", { name: "ログイン" }).waitFor();
  await checkScreen(login, "login-ja-phone");
});
