// The administration, and the questions before what hurts others.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import { browser, newPage, picture, Server, signUp, useBrowser, waitUntil } from "./harness.mjs"; // prettier-ignore
import { logIn, makeConversations } from "./seed.mjs";

useBrowser();

const focusedName = (page) =>
  page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);

test("an administrator finds one of 5,010 accounts, and is asked before anybody is hurt", async () => {
  const server = await Server.start();
  const { admin, me } = await makeConversations(server, 0, 0, 5008);
  const { context, page, errors } = await newPage(browser);
  await logIn(context, server, admin);
  await page.goto(server.url);
  // By the keyboard alone: the link is there for administrators.
  await page.getByRole("link", { name: "Administration" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Administration" }).waitFor();
  await waitUntil(async () => (await focusedName(page)) === "Administration", "the heading has the focus");
  assert.equal(new URL(page.url()).pathname, "/admin");
  const list = page.getByRole("group", { name: "Accounts" });
  const rows = list.getByRole("listitem");
  await rows.first().waitFor();
  assert.ok((await rows.count()) < 60, "only what is in view is in the document");
  assert.ok(
    await page.evaluate(() => document.documentElement.scrollHeight <= window.innerHeight),
    "the list scrolls, and not the page",
  );
  await waitUntil(async () => {
    await list.evaluate((e) => e.scrollTo(0, e.scrollHeight));
    return rows.filter({ hasText: "@person999" }).count();
  }, "the last one is there");
  assert.ok((await rows.count()) < 60, "only what is in view is in the document");
  assert.deepEqual(await accessibilityViolations(page), []);

  await page.getByRole("searchbox", { name: "Search accounts" }).fill("SON 4321");
  await waitUntil(async () => (await rows.count()) === 1, "one is found");
  await picture(page, "administration");

  // The question names the consequence; the focus is on what changes nothing.
  const lock = page.getByRole("button", { name: "Lock: Person 4321" });
  await lock.focus();
  await page.keyboard.press("Enter");
  const question = page.getByRole("alertdialog", { name: "Lock the account of Person 4321?" });
  await question.getByText("is logged out everywhere at once").waitFor();
  await waitUntil(async () => (await focusedName(page)) === "Cancel", "Cancel has the focus");
  assert.deepEqual(await accessibilityViolations(page), []);
  await picture(page, "question");
  await page.keyboard.press("Escape");
  await question.waitFor({ state: "detached" });
  await waitUntil(async () => (await focusedName(page)) === "Lock: Person 4321", "the focus is back");
  assert.equal(await page.getByText("Locked").count(), 0);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await waitUntil(async () => (await focusedName(page)) === "Lock", "the button that does it");
  await page.keyboard.press("Enter");
  await page.getByText("Locked", { exact: true }).waitFor();
  await question.waitFor({ state: "detached" });
  // The button that was pressed has become another one: the focus is on what is left.
  await waitUntil(
    async () => ["Unlock: Person 4321", "Accounts"].includes(await focusedName(page)),
    "the focus is near",
  );
  await page.getByRole("button", { name: "Unlock: Person 4321" }).click();
  await page.getByText("Locked", { exact: true }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Make administrator: Person 4321" }).click();
  await page.getByRole("alertdialog").getByText("you among them").waitFor();
  await page.getByRole("alertdialog").getByRole("button", { name: "Make administrator" }).click();
  await page.getByRole("button", { name: "Take administration away: Person 4321" }).waitFor();

  await page.getByRole("link", { name: "Invitations" }).click();
  await page.getByRole("button", { name: "New invitation" }).click();
  await page.getByRole("button", { name: "Copy" }).waitFor();
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("button", { name: "Revoke" }).waitFor({ state: "detached" });
  await page.goBack();
  await rows.first().waitFor();
  assert.deepEqual(errors, []);

  // Others have no way there, and are told so.
  const other = await newPage(browser);
  await logIn(other.context, server, me);
  await other.page.goto(server.url + "/admin");
  await other.page.getByText("Only administrators of this installation").waitFor();
  assert.equal(await other.page.getByRole("link", { name: "Administration" }).count(), 0);
  assert.deepEqual(other.errors, []);
});

test("the administration on a phone, in Japanese", async () => {
  const server = await Server.start();
  const { admin } = await makeConversations(server, 0, 0, 30);
  const { context, page, errors } = await newPage(browser, {
    locale: "ja-JP",
    viewport: { width: 390, height: 844 },
  });
  await logIn(context, server, admin);
  await page.goto(server.url);
  await page.getByRole("link", { name: "管理" }).click();
  await page.getByRole("listitem").first().waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  assert.deepEqual(await accessibilityViolations(page), []);
  await picture(page, "administration-ja-phone");
  await page.getByRole("button", { name: "ロック: Person 10", exact: true }).click();
  await page.getByRole("alertdialog").getByText("ロックを解除するまでログインできません").waitFor();
  await picture(page, "question-ja-phone");
  await page.getByRole("button", { name: "キャンセル" }).click();
  await page.getByRole("link", { name: "登録への招待" }).click();
  await page.getByRole("button", { name: "新しい招待" }).click();
  await page.getByRole("button", { name: "コピー" }).waitFor();
  await picture(page, "invitations-ja-phone");
  assert.deepEqual(errors, []);
});

test("one who leaves, removes, changes a role or logs a device out is asked first", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await server.registerAccount("ben");
  const { token } = await server.api("", "POST", "/login", {
    name: "aki",
    password: "correct horse",
    device: "my program",
  });
  const team = await server.api(token, "POST", "/conversations", {
    kind: "group",
    title: "Team",
    members: [ben.id],
  });
  const { page } = aki;
  await page.getByRole("link", { name: /Team/ }).click();
  await page.getByRole("button", { name: "Members and settings" }).click();
  const question = page.getByRole("alertdialog");
  const answer = (name) => question.getByRole("button", { name, exact: true }).click();

  await page.getByLabel("Role: ben").selectOption("owner");
  await question.getByText("also change roles, and remove you").waitFor();
  await answer("Cancel");
  assert.equal(await page.getByLabel("Role: ben").inputValue(), "member");
  await page.getByLabel("Role: ben").selectOption("admin");
  await answer("Change role");
  await waitUntil(async () => (await page.getByLabel("Role: ben").inputValue()) === "admin", "an admin");
  // A refusal is said in the question.
  await page.getByLabel("Role: aki").selectOption("member");
  await question.getByText("Only another owner can give you your role back.").waitFor();
  await answer("Change role");
  await question.getByText("Make someone else an owner first.").waitFor();
  await answer("Cancel");
  await page.getByRole("button", { name: "New link" }).click();
  await page.getByRole("button", { name: "Revoke" }).click();
  await answer("Revoke");
  await page.getByRole("button", { name: "Revoke" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Remove: ben" }).click();
  await question.getByText("ben no longer sees any of its messages").waitFor();
  await answer("Remove");
  await page.getByRole("button", { name: "Remove: ben" }).waitFor({ state: "detached" });
  await waitUntil(
    () => page.evaluate(() => document.activeElement !== document.body),
    "the focus stays in the panel",
  );
  await page.getByRole("button", { name: "Leave conversation" }).click();
  await question.getByText("You are its last member").waitFor();
  await answer("Leave conversation");
  await page.getByRole("heading", { name: "Start a conversation" }).waitFor();
  assert.equal((await server.api(token, "GET", "/conversations")).items.length, 0, team.id);

  await page.getByRole("button", { name: /Settings/ }).click();
  const device = page.getByRole("listitem").filter({ hasText: "my program" });
  await device.getByRole("button", { name: "Log out" }).click();
  await question.getByText("has to log in again there").waitFor();
  await answer("Log out");
  await device.waitFor({ state: "detached" });
  assert.deepEqual(aki.errors, []);
});
