import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageWith,
  openDirectConversation,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  picture,
  waitUntil,
} from "./harness.mjs";

useBrowser();

/** Has the browser say that there is a network, also on a machine without one. */
async function pretendNetwork(page) {
  await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "onLine", { get: () => true }));
  await page.reload();
}

const offline = (page) => page.getByText("You are offline. What you write is kept and sent later.");

test("a page without a network says so at once, and is back at once", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "first");
  const online = aki.page.locator("main header").getByText("Online");
  await online.waitFor();

  await aki.context.setOffline(true);
  await offline(aki.page).waitFor();
  // Nobody is shown as online any more.
  await online.waitFor({ state: "detached" });
  assert.equal(await aki.page.getByRole("img", { name: "Online" }).count(), 0);
  await sendMessage(aki.page, "written offline");
  await messageWith(aki.page, "written offline").getByRole("img", { name: "Sending" }).waitFor();
  assert.equal(await aki.page.getByText(/Connection lost/).count(), 0);
  await picture(aki.page, "offline");

  // A dialog does not take offline for nothing found, and is filled when that is over.
  const general = await server.api(
    (await server.api("", "POST", "/login", { name: "ben", password: "correct horse" })).token,
    "POST",
    "/conversations",
    { kind: "channel", title: "general" },
  );
  assert.ok(general.id);
  await aki.page.getByRole("button", { name: "Browse channels" }).click();
  const dialog = aki.page.getByRole("dialog");
  await dialog.getByText("You are offline.").waitFor();
  assert.equal(await dialog.getByText("No channels found").count(), 0);
  await aki.context.setOffline(false);
  await dialog.getByRole("button", { name: "Join general" }).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await offline(aki.page).waitFor({ state: "detached" });
  await online.waitFor();
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await messageWith(ben.page, "written offline").waitFor();
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});

test("a page whose server is gone says when it tries again, and tries when asked to", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  await pretendNetwork(aki.page);
  await aki.page.getByText("No conversations yet").waitFor();
  await server.kill();
  await aki.page.getByText("Connection lost. What you write is kept and sent later.").waitFor();
  await aki.page.getByText(/Next try in \d+ s\./).waitFor();
  await picture(aki.page, "next-try");
  assert.equal(await aki.page.getByText(/^You are offline/).count(), 0);
  const again = aki.page.getByRole("button", { name: "Try now" });
  const attempt = aki.page.waitForEvent("websocket");
  await again.click();
  await attempt;
  await server.run();
  await again.waitFor({ state: "detached" });
  assert.deepEqual(aki.errors, []);
});

test("a page that is opened without its server shows its mark, and goes on by itself", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  await aki.page.evaluate(() => fetch("/api/v1/logout", { method: "POST" }));
  await pretendNetwork(aki.page);
  await aki.page.getByRole("heading", { name: "Log in" }).waitFor();
  await server.kill();
  await aki.page.getByLabel("Name", { exact: true }).fill("aki");
  await aki.page.getByLabel("Password").fill("correct horse");
  await aki.page.getByRole("button", { name: "Log in", exact: true }).click();
  await aki.page.getByText("The server cannot be reached.").waitFor();
  const broken = () => aki.page.evaluate(() => [...document.images].filter((i) => !i.naturalWidth).length);
  assert.equal(await broken(), 0);
  await server.run();
  await aki.page.getByRole("button", { name: "Log in", exact: true }).click();
  await aki.page.getByRole("navigation", { name: "Conversations" }).waitFor();
});

test("drafts keep text, reply and edit over a switch, a reload and other tabs", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  await server.registerAccount("cem");
  await openDirectConversation(ben.page, "aki");
  await sendMessage(ben.page, "Lunch at noon?");
  await openDirectConversation(aki.page, "cem");
  const toBen = aki.page.getByRole("link", { name: /ben/ });
  const toCem = aki.page.getByRole("link", { name: /cem/ });
  await toBen.click();
  await messageWith(aki.page, "Lunch at noon?").hover();
  await messageWith(aki.page, "Lunch at noon?").getByRole("button", { name: "Message actions" }).click();
  await aki.page.getByRole("menuitem", { name: "Reply" }).click();
  await composer(aki.page).fill("half an answer");
  await toCem.click();
  await toBen.getByText("Draft: half an answer").waitFor();
  await picture(aki.page, "draft");
  assert.equal(await composer(aki.page).inputValue(), "");

  // Another tab has it as well, and what is typed there is here.
  const other = await aki.context.newPage();
  await other.goto(server.url);
  await other.getByRole("link", { name: /Draft: half an answer/ }).click();
  await other.getByText("Replying to ben: Lunch at noon?").waitFor();
  await composer(other).press("End");
  await composer(other).pressSequentially("!");
  await toBen.getByText("Draft: half an answer!").waitFor();
  await other.close();

  await aki.page.reload();
  await toBen.getByText("Draft: half an answer!").waitFor();
  await toBen.click();
  await aki.page.getByText("Replying to ben: Lunch at noon?").waitFor();
  await composer(aki.page).press("Enter");
  // As a reply: with what it answers.
  await messageWith(ben.page, "half an answer!")
    .getByRole("button", { name: /Lunch at noon/ })
    .waitFor();
  assert.equal(await aki.page.getByText("Replying to").count(), 0);

  // An edit waits in the same way, and the draft below it.
  await composer(aki.page).press("ArrowUp");
  await aki.page.getByText("Editing message").waitFor();
  await composer(aki.page).fill("a whole answer");
  await toCem.click();
  await aki.page.reload();
  await toBen.click();
  await aki.page.getByText("Editing message").waitFor();
  assert.equal(await composer(aki.page).inputValue(), "a whole answer");

  // What went wrong is said until something is typed.
  await aki.context.setOffline(true);
  await composer(aki.page).press("Enter");
  const error = aki.page.getByRole("alert").getByText("You are offline.");
  await error.waitFor();
  await composer(aki.page).press("End");
  await composer(aki.page).pressSequentially("!");
  await error.waitFor({ state: "detached" });
  await aki.context.setOffline(false);
  await offline(aki.page).waitFor({ state: "detached" });
  await composer(aki.page).press("Enter");
  await messageWith(ben.page, "a whole answer!").getByText("(edited)").waitFor();
  await waitUntil(async () => (await composer(aki.page).inputValue()) === "", "the composer is empty");
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});
