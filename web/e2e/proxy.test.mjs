// The page behind a real nginx of the operator's own.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { browser, composer, messageWith, newPage, Nginx, openDirectConversation, picture, sendMessage, Server, signUp, useBrowser, waitUntil } from "./harness.mjs"; // prettier-ignore

useBrowser();

const example = /```nginx\n([\s\S]*?)```/.exec(
  await readFile(new URL("../../docs/operations.md", import.meta.url), "utf8"),
)[1];

test("a proxy that passes on another Host: the page and the log say so, and all is well once it does not", async () => {
  const server = await Server.start("--log-level", "warn");
  const conf = (host) => (port) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass ${server.url};
        proxy_http_version 1.1;
        ${host}
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
      }
    }`;
  const proxy = await Nginx.start(conf(""));
  const { page, errors } = await signUp(browser, { url: proxy.url, takeSetupToken: () => server.takeSetupToken() }, "aki"); // prettier-ignore
  const banner = page.getByRole("status").filter({ hasText: "The server refuses the connection" });
  await banner.waitFor();
  await banner.getByText(`HIKYAKU_ORIGINS has to name ${proxy.url}.`).waitFor();
  await picture(page, "origin-refused");
  await waitUntil(
    () => server.log.includes(`origin=${proxy.url} host=127.0.0.1:${server.port}`),
    "the log says what came in",
  );
  assert.equal(server.log.match(/a page was refused/g).length, 1);

  await proxy.reload(conf("proxy_set_header Host $http_host;")(proxy.port));
  await waitUntil(async () => {
    const again = page.getByRole("button", { name: "Try now" });
    if (await again.isVisible()) await again.click({ timeout: 1000 }).catch(() => {});
    return !(await banner.isVisible());
  }, "the page is connected");
  await page.getByText("No conversations yet").waitFor();
  assert.deepEqual(errors, []);
});

for (const [what, to] of [
  ["with the path", ""],
  ["without the path", "/"],
])
  test(`below a path, from a proxy that passes requests on ${what}`, async () => {
    const server = await Server.start("--base-path", "/chat");
    assert.equal(server.url, `http://127.0.0.1:${server.port}/chat`);
    const proxy = await Nginx.start((port) =>
      example
        .replace("listen 80;", `listen 127.0.0.1:${port};`)
        .replace("proxy_pass http://127.0.0.1:8080;", `proxy_pass http://127.0.0.1:${server.port}${to};`),
    );
    const at = { url: proxy.url + "/chat/" };
    const outside = [];
    const { page, context, errors } = await newPage(browser);
    page.on("request", (r) => !r.url().startsWith(at.url) && outside.push(r.url()));
    page.on("websocket", (s) => !s.url().startsWith(at.url.replace("http", "ws")) && outside.push(s.url()));
    await page.goto(`${at.url}register#${server.takeSetupToken()}`);
    await page.getByLabel("Name", { exact: true }).fill("aki");
    await page.getByLabel("Password").fill("correct horse");
    await page.locator("form").getByRole("button", { name: "Create account" }).click();
    await page.getByText("No conversations yet").waitFor();
    const [cookie] = await context.cookies(at.url);
    assert.equal(cookie.path, "/chat/");

    const ben = await signUp(browser, at, "ben");
    await openDirectConversation(page, "ben");
    await sendMessage(page, "Hello **Ben**");
    await ben.page.getByRole("link", { name: /aki/ }).click();
    await messageWith(ben.page, "Hello Ben").locator("strong").waitFor();
    assert.match(page.url(), /\/chat\/c\/\d+$/);
    await page.reload();
    await messageWith(page, "Hello Ben").waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Pick a conversation" }).waitFor();

    // An invitation leads below the path as well.
    await page.getByRole("link", { name: "Administration" }).click();
    assert.equal(new URL(page.url()).pathname, "/chat/admin");
    await page.getByRole("link", { name: "Invitations" }).click();
    await page.getByRole("button", { name: "New invitation" }).click();
    const link = await page.getByRole("textbox", { name: "Invitation links" }).inputValue();
    assert.ok(link.startsWith(at.url + "register#"), link);
    const guest = await newPage(browser);
    await guest.page.goto(link);
    await guest.page.getByText("You have been invited.").waitFor();

    // The service worker is that of the path alone.
    await context.grantPermissions(["notifications"], { origin: proxy.url });
    const scope = await page.evaluate(async () => {
      const registration = await navigator.serviceWorker.register("sw.js");
      return registration.scope;
    });
    assert.equal(scope, at.url);

    const docs = await newPage(browser);
    await docs.page.goto(at.url + "api/docs");
    await docs.page.getByRole("link", { name: "OpenAPI" }).click();
    await waitUntil(() => docs.page.url() === at.url + "api/openapi.json", "the link leads below the path");

    // A log-out ends the session and its cookie.
    await page.goto(at.url);
    await page.getByRole("button", { name: /Settings/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out", exact: true }).last().click();
    await page.getByLabel("Password", { exact: true }).waitFor();
    await waitUntil(
      async () => (await context.cookies(at.url)).every((c) => c.name !== "hikyaku_session"),
      "the cookie is gone",
    );
    assert.equal(await composer(page).count(), 0);
    assert.deepEqual(outside, []);
    assert.deepEqual([...errors, ...ben.errors, ...guest.errors], []);
  });
