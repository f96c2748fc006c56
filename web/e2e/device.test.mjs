// What a device keeps to be read without its server, and when it is deleted.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import {
  browser,
  messageId,
  messageWith,
  newPage,
  openDirectConversation,
  picture,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

const list = (page) => page.getByRole("navigation", { name: "Conversations" });

/** Waits until the page would open without its server. */
const isKept = (page) =>
  page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    return Boolean(navigator.serviceWorker.controller);
  });

/** Returns what the browser has in the databases of copies: texts by conversation. */
const copies = (page) =>
  page.evaluate(async () => {
    const done = (r) =>
      new Promise((resolve, reject) => {
        r.onsuccess = () => resolve(r.result);
        r.onerror = () => reject(r.error);
      });
    const found = {};
    for (const { name } of await indexedDB.databases()) {
      if (!name.startsWith("hikyaku-copy-")) continue;
      const db = await done(indexedDB.open(name));
      const all = await done(db.transaction("messages").objectStore("messages").getAll());
      const conversations = await done(db.transaction("conversations").objectStore("conversations").getAll());
      db.close();
      found[name.slice("hikyaku-copy-".length)] = {
        texts: all.flatMap((c) => c.messages.map((m) => m.body)),
        titles: conversations.map((c) => c.summary.title || c.summary.peer.name),
      };
    }
    return found;
  });
/** Those of all accounts together. */
const copied = async (page, what) => Object.values(await copies(page)).flatMap((c) => c[what]);
const waitForText = (page, text, isThere = true) =>
  waitUntil(
    async () => (await copied(page, "texts")).includes(text) === isThere,
    `${text} is ${isThere ? "" : "not "}kept`,
  );
const notes = (page) =>
  page.evaluate(() => Object.keys(localStorage).filter((k) => k.startsWith("hikyaku-copy-")));
const cached = (page) =>
  page.evaluate(async () => {
    const requests = [];
    for (const name of await caches.keys())
      for (const r of await (await caches.open(name)).keys()) requests.push(new URL(r.url).pathname);
    return requests;
  });

/** Tokens of accounts that the page's own cookie is not of. */
const logIn = (server, name) => server.api("", "POST", "/login", { name, password: "correct horse" });

test("without its server a page is loaded, read and written in, and what was written is sent once", async () => {
  const server = await Server.start();
  const ben = await signUp(browser, server, "ben");
  const aki = await signUp(browser, server, "aki");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "are you there?");
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await sendMessage(ben.page, "I am");
  await messageWith(aki.page, "I am").waitFor();
  await messageWith(aki.page, "are you there?").getByRole("img", { name: "Read" }).waitFor();
  await waitForText(aki.page, "I am");
  await waitUntil(() => isKept(aki.page), "the page is kept");

  await server.kill();
  await aki.page.reload();
  await aki.page.getByText(/What you write is kept and sent later/).waitFor();
  await list(aki.page).getByRole("link", { name: /ben/ }).waitFor();
  await messageWith(aki.page, "I am").waitFor();
  await messageWith(aki.page, "are you there?").getByRole("img", { name: "Read" }).waitFor();
  await aki.page.locator("main header").getByRole("heading", { name: "ben" }).waitFor();
  await sendMessage(aki.page, "written without a server");
  await messageWith(aki.page, "written without a server").waitFor();
  // The same without a network, from the beginning.
  await aki.context.setOffline(true);
  await aki.page.goto(server.url);
  await aki.page.getByText("You are offline. What you write is kept and sent later.").waitFor();
  await list(aki.page).getByRole("link", { name: /ben/ }).click();
  await messageWith(aki.page, "written without a server").getByRole("img", { name: "Sending" }).waitFor();
  await messageWith(aki.page, "are you there?").waitFor();
  await picture(aki.page, "reloaded-offline");
  assert.deepEqual(await accessibilityViolations(aki.page), []);

  // What was said meanwhile is there after it, and is all there is.
  await server.run();
  await sendMessage(ben.page, "said meanwhile");
  await messageWith(ben.page, "said meanwhile").getByRole("img", { name: "Accepted" }).waitFor();
  await aki.context.setOffline(false);
  await messageWith(aki.page, "said meanwhile").waitFor();
  await messageWith(aki.page, "written without a server")
    .getByRole("img", { name: /Delivered|Read/ })
    .waitFor();
  await messageWith(ben.page, "written without a server").waitFor();
  const texts = (page) => page.getByRole("article").evaluateAll((all) => all.length);
  assert.equal(await texts(aki.page), 4);
  assert.equal(await texts(ben.page), 4);
  // Nothing of the API is in the cache of the page.
  const paths = await cached(aki.page);
  assert.ok(paths.includes("/") && paths.length > 5, paths.join());
  assert.deepEqual(paths.filter((p) => p !== "/" && !p.startsWith("/assets/")), []); // prettier-ignore
});

test("what is deleted, edited or taken away elsewhere is not kept", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await server.registerAccount("ben");
  const { user: me } = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const make = async (title, ...texts) => {
    const c = await server.api(ben.token, "POST", "/conversations", {
      kind: "group",
      title,
      members: [me.id],
    });
    for (const [i, body] of texts.entries())
      await server.api(ben.token, "POST", `/conversations/${c.id}/messages`, { id: messageId(Number(c.id.slice(-6)) * 10 + i), body }); // prettier-ignore
    await list(aki.page)
      .getByRole("link", { name: new RegExp(title) })
      .click();
    await messageWith(aki.page, texts.at(-1)).waitFor();
    return c;
  };
  const open = await make("Open", "open one", "open two");
  const left = await make("Left", "left one");
  const other = await make("Other", "other one", "other two");
  for (const text of ["open two", "left one", "other two"]) await waitForText(aki.page, text);

  // While the page is open.
  await server.api(ben.token, "DELETE", `/conversations/${open.id}/messages/1`);
  await server.api(ben.token, "DELETE", `/conversations/${left.id}/members/${me.id}`);
  await waitForText(aki.page, "open one", false);
  await waitForText(aki.page, "left one", false);
  assert.deepEqual((await copied(aki.page, "titles")).sort(), ["Open", "Other"]);

  // While it is not: the next page does not know what has changed, and has it again.
  await waitUntil(() => isKept(aki.page), "the page is kept");
  await aki.page.goto("about:blank");
  await server.api(ben.token, "DELETE", `/conversations/${other.id}/messages/1`);
  await server.api(ben.token, "PATCH", `/conversations/${other.id}/messages/2`, {
    body: "other two, edited",
  });
  await aki.page.goto(server.url);
  await waitForText(aki.page, "other one", false);
  await waitForText(aki.page, "other two", false);
  await waitForText(aki.page, "other two, edited");
  await server.kill();
  await aki.page.reload();
  await list(aki.page).getByRole("link", { name: /Other/ }).click();
  await messageWith(aki.page, "other two, edited").waitFor();
  assert.equal(await messageWith(aki.page, "other one").count(), 0);
  assert.equal(await list(aki.page).getByRole("link", { name: /Left/ }).count(), 0);
});

test("a log-out deletes what is kept, and the next account sees nothing of it", async () => {
  const server = await Server.start();
  await server.registerAccount("cem"); // before all others: the first account has another form
  const aki = await signUp(browser, server, "aki");
  await signUp(browser, server, "ben");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "for ben alone");
  await waitForText(aki.page, "for ben alone");
  await waitUntil(() => isKept(aki.page), "the page is kept");
  await aki.page.getByRole("button", { name: /Settings/ }).click();
  await aki.page.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
  await aki.page.getByRole("heading", { name: "Log in" }).waitFor();
  await waitUntil(async () => Object.keys(await copies(aki.page)).length === 0, "no copy is left");
  assert.deepEqual(await notes(aki.page), []);

  await aki.page.getByLabel("Name", { exact: true }).fill("cem");
  await aki.page.getByLabel("Password").fill("correct horse");
  await aki.page.getByRole("button", { name: "Log in", exact: true }).click();
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "of cem");
  await waitForText(aki.page, "of cem");
  await server.kill();
  await aki.page.reload();
  await messageWith(aki.page, "of cem").waitFor();
  assert.equal(await aki.page.getByText("for ben alone").count(), 0);
  assert.equal(Object.keys(await copies(aki.page)).length, 1);

  // Logged out without the server, too.
  await aki.page.getByRole("button", { name: /Settings/ }).click();
  await aki.page.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
  await waitUntil(async () => Object.keys(await copies(aki.page)).length === 0, "no copy is left");
  await aki.page.reload();
  await aki.page.getByRole("button", { name: "Try now" }).waitFor();
  assert.equal(await aki.page.getByText(/of cem|@cem/).count(), 0);
});

test("a session that is ended elsewhere takes with it what is kept", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  await signUp(browser, server, "ben");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "for ben alone");
  await waitForText(aki.page, "for ben alone");
  await waitUntil(() => isKept(aki.page), "the page is kept");
  const { session } = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const { token } = await logIn(server, "aki");

  // While no page is open: the next one is told.
  await aki.page.goto("about:blank");
  await server.api(token, "DELETE", `/sessions/${session}`);
  await aki.page.goto(server.url);
  await aki.page.getByRole("heading", { name: "Log in" }).waitFor();
  await waitUntil(async () => Object.keys(await copies(aki.page)).length === 0, "no copy is left");
  assert.deepEqual(await notes(aki.page), []);
});

test("a page of a new version is taken at the next load, and kept in place of the old one", async () => {
  const server = await Server.start();
  await server.registerAccount("aki");
  // Stands for a server that gets a new version: the page's script has another name, and
  // the worker is another one.
  let version = "a";
  let loads = 0;
  const named = (text) =>
    version === "a"
      ? text
      : text
          .replaceAll(/assets\/index-[\w-]+\.js/g, (m) => m.replace(/\.js$/, "-new.js"))
          .replace(/version:([`"'])/, "version:$1new-");
  const front = createServer(async (req, res) => {
    if (req.headers["sec-fetch-dest"] === "document") loads++;
    const r = await fetch(server.url + req.url.replace("-new.js", ".js"));
    const type = r.headers.get("content-type") ?? "";
    const isText = type.startsWith("text/html") || req.url.endsWith("/sw.js");
    const body = Buffer.from(await r.arrayBuffer());
    res.writeHead(r.status, { "Content-Type": type, "Cache-Control": "no-cache" });
    res.end(isText ? named(body.toString()) : body);
  });
  await new Promise((done) => front.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${front.address().port}`;
  const { page } = await newPage(browser);
  try {
    const script = () => page.locator("script[type=module]").getAttribute("src");
    const heading = page.getByRole("heading", { name: /Create|Log in|Welcome/ }).first();
    await page.goto(url);
    await heading.waitFor();
    await waitUntil(() => isKept(page), "the page is kept");
    const keys = () => page.evaluate(() => caches.keys());
    const [before] = await keys();

    version = "b";
    await page.reload();
    await heading.waitFor();
    assert.match(await script(), /-new\.js$/);
    await waitUntil(async () => {
      const names = await keys();
      return names.length === 1 && names[0] !== before;
    }, "the new version alone is kept");
    // It has taken over, and nobody was made to load the page again for it.
    assert.equal(loads, 2);

    await new Promise((done) => {
      front.close(done);
      front.closeAllConnections();
    });
    await page.reload();
    await page.getByRole("button", { name: "Try now" }).waitFor();
    assert.match(await script(), /-new\.js$/);
  } finally {
    front.close();
    front.closeAllConnections();
  }
});
