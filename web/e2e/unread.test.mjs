import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageWith, launchBrowser, messageId, signUp, Server, waitUntil } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launchBrowser();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a conversation opens at the first unread message", async () => {
  const aki = await signUp(browser, server, "aki");
  const writer = await server.registerAccount("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "news" });
  let sent = 0;
  const send = (body) =>
    server.api(writer.token, "POST", `/conversations/${c.id}/messages`, { id: messageId(++sent), body });
  for (let i = 1; i <= 10; i++) await send(`old ${i}.`);
  await aki.page.getByRole("button", { name: "Browse channels" }).first().click();
  await aki.page.getByRole("button", { name: "Join news" }).click();
  await messageWith(aki.page, "old 10.").waitFor();
  await aki.page.goto(server.url);
  const row = aki.page.getByRole("link", { name: /news/ });
  await row.waitFor();
  for (let i = 1; i <= 80; i++) await send(`new ${i}.`);
  await row.getByLabel("80 unread messages").waitFor();
  await row.click();
  await messageWith(aki.page, "new 1.").waitFor();
  const isInView = (text) =>
    messageWith(aki.page, text).evaluate((e) => {
      const timeline = document.querySelector("[data-timeline]").getBoundingClientRect();
      const row = e.getBoundingClientRect();
      return row.top >= timeline.top && row.bottom <= timeline.bottom;
    });
  await waitUntil(() => isInView("new 1."), "the first unread message is in view");
  assert.equal(await aki.page.locator("[data-new]").count(), 1);
  await aki.page.getByRole("button", { name: /Jump to latest/ }).click();
  await messageWith(aki.page, "new 80.").waitFor();
  await row.getByLabel(/unread/).waitFor({ state: "detached" });
  assert.deepEqual(aki.errors, []);
});
