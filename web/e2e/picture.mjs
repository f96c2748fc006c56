// Takes the screenshot of the README: `make picture`.
import { launchBrowser, messageId, signUp, Server } from "./harness.mjs";

const server = await Server.start();
const browser = await launchBrowser();
let sent = 0;
const send = (sender, conversation, body, reply_to) =>
  server.api(sender.token, "POST", `/conversations/${conversation}/messages`, {
    id: messageId(++sent),
    body,
    reply_to,
  });

const aki = await signUp(browser, server, "aki", {
  deviceScaleFactor: 2,
  viewport: { width: 1180, height: 720 },
});
const me = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
const { token } = await server.api("", "POST", "/login", { name: "aki", password: "correct horse" });
await server.api(token, "PATCH", "/me", { display_name: "Aki Mori" });
const users = {};
for (const [name, display_name] of [
  ["mika", "Mika Sato"],
  ["ben", "Ben Okafor"],
  ["lena", "Lena Fischer"],
]) {
  users[name] = await server.registerAccount(name);
  await server.api(users[name].token, "PATCH", "/me", { display_name });
}
const { mika, ben, lena } = users;
const everyone = [me.user.id, ben.id, lena.id];
const design = await server.api(mika.token, "POST", "/conversations", {
  kind: "group",
  title: "Launch",
  topic: "Ship it on Friday",
  members: everyone,
});
const general = await server.api(lena.token, "POST", "/conversations", { kind: "channel", title: "general" });
await server.api(lena.token, "POST", `/conversations/${general.id}/members`, { users: [me.user.id] });
const direct = await server.api(ben.token, "POST", "/conversations", { kind: "direct", user: me.user.id });
await send(lena, general.id, "Lunch at noon?");
await send(ben, direct.id, "Did you see the new numbers?");
await send(mika, design.id, "Good morning! The gateway has been up for **30 days** now.");
await send(
  ben,
  design.id,
  "And nothing lost:\n\n- killed it twenty times under load\n- every accepted message was there, once, in order",
);
await send(lena, design.id, "素晴らしい！ Then let us ship on Friday.", 2);
await send(mika, design.id, "`make test` is green. I write the notes.");
await send({ token }, design.id, "Wonderful. Then Friday it is!");

await aki.page.reload();
await aki.page.getByRole("link", { name: /Launch/ }).click();
await aki.page.getByText("Then Friday it is!").last().waitFor();
// Until all is read, but for what others wrote elsewhere.
await aki.page.locator("a[aria-current] [aria-label$='unread messages']").waitFor({ state: "detached" });
await aki.page.getByRole("img", { name: "Delivered" }).or(aki.page.getByRole("img", { name: /Read by/ })).first().waitFor(); // prettier-ignore
await aki.page.getByRole("textbox").fill("On it. I will tell the others");
await aki.page.evaluate(() => document.fonts.ready);
await aki.page.screenshot({ path: process.argv[2] });
await browser.close();
await server.stop();
