import assert from "node:assert/strict";
import { test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import {
  composer,
  browser,
  messageWith,
  newPage,
  openDirectConversation,
  sendMessage,
  Server,
  signUp,
  waitUntil,
  useBrowser,
} from "./harness.mjs";

useBrowser();

let server;

const conversations = (page) => page.getByRole("navigation", { name: "Conversations" });

async function logIn(page, name, password = "correct horse") {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.locator("form").getByRole("button", { name: "Log in" }).click();
  await conversations(page).waitFor();
}

/** Has a test cut the connections of a page: while blocked is set there is none. */
async function cutConnections(page) {
  const path = { blocked: false, cut: () => {} };
  await page.routeWebSocket(/\/api\/v1\/socket/, (ws) => {
    if (path.blocked) return ws.close();
    const upstream = ws.connectToServer();
    path.cut = () => (upstream.close(), ws.close());
  });
  return path;
}

test("two tabs as two people: nothing is sent as the other, and nothing is lost", async () => {
  server = await Server.start();
  const people = {};
  for (const name of ["aki", "ben", "cho"]) people[name] = await server.registerAccount(name);
  const { context, page: first, errors } = await newPage(browser);
  // The worst case: the tabs do not hear of each other.
  await first.addInitScript(() => delete globalThis.BroadcastChannel);
  const path = await cutConnections(first);
  const second = await context.newPage();
  await first.goto(server.url);
  await second.goto(server.url);
  await second.getByLabel("Password", { exact: true }).waitFor();
  await logIn(first, "aki");
  await openDirectConversation(first, "cho");
  await sendMessage(first, "Aki was here");
  await messageWith(first, "Aki was here")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();

  path.blocked = true;
  path.cut();
  await first.getByText(/^(Connection lost|You are offline)\./).waitFor();
  await sendMessage(first, "written by Aki");
  await composer(first).fill("Aki's draft");
  await logIn(second, "ben");
  path.blocked = false;
  await first.getByRole("heading", { name: "You are logged in as ben in this browser" }).waitFor();
  assert.deepEqual(await accessibilityViolations(first), []);

  // The same page may be Ben's. It has nothing of Aki's.
  await first.getByRole("button", { name: "Continue as @ben" }).click();
  await first.getByText("No conversations yet").waitFor();
  const messagesOf = async (name) => {
    const { items } = await server.api(people[name].token, "GET", "/conversations");
    const c = items[0];
    return c ? (await server.api(people[name].token, "GET", `/conversations/${c.id}/messages`)).items : [];
  };
  assert.deepEqual(
    (await messagesOf("cho")).map((m) => m.body),
    ["Aki was here"],
  );

  // Aki logs in again in the other tab, where the message goes out.
  await second.getByRole("button", { name: "Settings" }).click();
  await second.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
  await second.getByLabel("Password", { exact: true }).waitFor();
  await logIn(second, "aki");
  await waitUntil(async () => (await messagesOf("cho")).length === 2, "Aki's message is sent");
  const [, late] = await messagesOf("cho");
  assert.deepEqual([late.body, late.sender], ["written by Aki", people.aki.id]);
  await second.getByRole("link", { name: /cho/ }).click();
  await second.waitForFunction(() => document.querySelector("textarea")?.value === "Aki's draft");
  assert.deepEqual(errors, []);
});

test("tabs hear of a log-in and a log-out in another one", async () => {
  server = await Server.start();
  for (const name of ["aki", "ben"]) await server.registerAccount(name);
  const { context, page: first, errors } = await newPage(browser);
  const second = await context.newPage();
  for (const page of [first, second]) {
    await page.goto(server.url);
    await page.getByLabel("Password", { exact: true }).waitFor();
  }
  await logIn(first, "aki");
  await second.getByRole("heading", { name: "You are logged in as aki in this browser" }).waitFor();
  await second.getByRole("button", { name: "Log in with another account" }).click();
  await logIn(second, "ben");
  await first.getByRole("heading", { name: "You are logged in as ben in this browser" }).waitFor();
  await first.getByRole("button", { name: "Log in again as @aki" }).click();
  assert.equal(await first.getByLabel("Name", { exact: true }).inputValue(), "aki");
  await logIn(first, "aki");
  await second.getByRole("button", { name: "Continue as @aki" }).click();
  await conversations(second).waitFor();
  await second.getByRole("button", { name: "Settings" }).click();
  await second.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
  await first.getByText("This device was logged out. Log in again.").waitFor();
  await second.getByLabel("Password", { exact: true }).waitFor();
  assert.deepEqual(errors, []);
});

test("a log-out without a network asks about what is not sent, and is one", async () => {
  server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  await server.registerAccount("ben");
  await openDirectConversation(aki.page, "ben");
  await aki.context.setOffline(true);
  // A network that is gone without a word keeps connections open for a while.
  await server.kill();
  await aki.page.getByText(/^(Connection lost|You are offline)\./).waitFor();
  await sendMessage(aki.page, "never sent");
  const logOut = async () => {
    await aki.page.getByRole("button", { name: "Settings" }).click();
    await aki.page.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
    await aki.page.getByText("1 message has not been sent yet.").waitFor();
  };
  await logOut();
  assert.deepEqual(await accessibilityViolations(aki.page), []);
  await aki.page.getByRole("button", { name: "Stay logged in" }).click();
  await aki.page.keyboard.press("Escape");
  await messageWith(aki.page, "never sent").waitFor();
  await logOut();
  await aki.page.getByRole("button", { name: "Log out and delete" }).click();
  await aki.page.getByText("You are logged out here. The server could not be reached").waitFor();
  assert.deepEqual(await accessibilityViolations(aki.page), []);

  // The server does not hear of it before the page is loaded again.
  await aki.page.route("**/api/v1/sessions/*", (route) => route.abort());
  await aki.context.setOffline(false);
  await server.run();
  await aki.page.unroute("**/api/v1/sessions/*");
  await aki.page.reload();
  await aki.page.getByLabel("Password", { exact: true }).waitFor();
  const { token } = await server.api("", "POST", "/login", { name: "aki", password: "correct horse" });
  const { items } = await server.api(token, "GET", "/sessions");
  assert.equal(items.length, 1, "the page's session is over");
  await logIn(aki.page, "aki", "correct horse");
  await aki.page.getByRole("link", { name: /ben/ }).click();
  await composer(aki.page).waitFor();
  assert.equal(await messageWith(aki.page, "never sent").count(), 0);
  assert.deepEqual(aki.errors, []);
});

test("a log-out ends the session that the browser has, not the one before", async () => {
  server = await Server.start();
  const { context, page, errors } = await signUp(browser, server, "aki");
  const path = await cutConnections(page);
  await page.reload();
  await conversations(page).waitFor();
  path.blocked = true;
  path.cut();
  await page.getByText(/^(Connecting…|Connection lost\.|You are offline\.)/).waitFor();
  // A tab that says nothing logs in again: the page knows only the session before.
  const credentials = { name: "aki", password: "correct horse", cookie: true };
  const login = await context.request.post(server.url + "/api/v1/login", { data: credentials });
  assert.equal(login.status(), 200);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
  await page.getByLabel("Password", { exact: true }).waitFor();
  await page.getByText("Logging out…").waitFor({ state: "detached" });
  assert.equal((await context.request.get(server.url + "/api/v1/me")).status(), 401);
  assert.deepEqual(errors, []);
});

test("what is read or comes without a connection is told on the next one", async () => {
  server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  await server.registerAccount("cho");
  const path = await cutConnections(aki.page);
  await aki.page.reload();
  await openDirectConversation(ben.page, "aki");
  await sendMessage(ben.page, "one");
  await aki.page.getByRole("link", { name: /ben/ }).click();
  await messageWith(ben.page, "one").getByRole("img", { name: "Read" }).waitFor();
  await openDirectConversation(aki.page, "cho");
  await sendMessage(ben.page, "two");
  await messageWith(ben.page, "two").getByRole("img", { name: "Delivered" }).waitFor();

  path.blocked = true;
  path.cut();
  await aki.page.getByText(/^(Connection lost|You are offline)\./).waitFor();
  await aki.page.getByRole("link", { name: /ben/ }).click();
  await messageWith(aki.page, "two").waitFor();
  await aki.page
    .getByRole("link", { name: /ben/ })
    .getByLabel(/unread/)
    .waitFor({ state: "detached" });
  await aki.page.getByRole("link", { name: /cho/ }).click();
  await sendMessage(ben.page, "three");
  await messageWith(ben.page, "three").getByRole("img", { name: "Accepted" }).waitFor();
  path.blocked = false;
  await messageWith(ben.page, "two").getByRole("img", { name: "Read" }).waitFor();
  await messageWith(ben.page, "three").getByRole("img", { name: "Delivered" }).waitFor();
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});
