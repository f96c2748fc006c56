import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bubble, launch, person, Server } from "./harness.mjs";

let browser, server;
before(async () => {
  browser = await launch();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

let n = 0;
function id() {
  const ms = Date.now().toString(16).padStart(12, "0");
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${(++n).toString(16).padStart(12, "0")}`;
}

test("a conversation opens at the first unread message", async () => {
  const aki = await person(browser, server, "aki");
  const writer = await server.account("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "news" });
  const send = (body) =>
    server.api(writer.token, "POST", `/conversations/${c.id}/messages`, { id: id(), body });
  for (let i = 1; i <= 10; i++) await send(`old ${i}.`);
  await aki.page.getByRole("button", { name: "Browse channels" }).first().click();
  await aki.page.getByRole("button", { name: "Join news" }).click();
  await bubble(aki.page, "old 10.").waitFor();
  await aki.page.goto(server.url);
  const row = aki.page.getByRole("link", { name: /news/ });
  await row.waitFor();
  for (let i = 1; i <= 80; i++) await send(`new ${i}.`);
  await row.getByLabel("80 unread messages").waitFor();
  await row.click();
  await bubble(aki.page, "new 1.").waitFor();
  const inView = (text) =>
    bubble(aki.page, text).evaluate((e) => {
      const box = document.querySelector("[data-timeline]").getBoundingClientRect();
      const b = e.getBoundingClientRect();
      return b.top >= box.top && b.bottom <= box.bottom;
    });
  assert.ok(await inView("new 1."), "the first unread message is in view");
  assert.equal(await aki.page.locator("[data-new]").count(), 1);
  await aki.page.getByRole("button", { name: /Jump to latest/ }).click();
  await bubble(aki.page, "new 80.").waitFor();
  await row.getByLabel(/unread/).waitFor({ state: "detached" });
  assert.deepEqual(aki.faults, []);
});
