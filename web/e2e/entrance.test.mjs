import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageId,
  messageWith,
  newPage,
  picture,
  sendMessage,
  Server,
  signUp,
  useBrowser,
} from "./harness.mjs";

useBrowser();

/** Opens a page, and collects what its console calls errors. */
async function visit(path, server, options) {
  const visitor = await newPage(browser, options);
  visitor.console = [];
  visitor.page.on("console", (m) => m.type() === "error" && visitor.console.push(m.text()));
  await visitor.page.goto(server.url + path);
  return visitor;
}

test("links say where they lead before logging in, and the console is clean", async () => {
  const server = await Server.start();
  const aki = await server.registerAccount("aki");
  const crew = await server.api(aki.token, "POST", "/conversations", {
    kind: "group",
    title: "Crew of the evening ferry",
    topic: "only for us",
  });
  const link = await server.api(aki.token, "POST", `/conversations/${crew.id}/links`, {});

  const guest = await visit(link.url, server);
  await guest.page.getByText("Log in to join “Crew of the evening ferry” on Hikyaku.").waitFor();
  assert.equal(await guest.page.getByText("only for us").count(), 0);
  await picture(guest.page, "join-logged-out");
  await guest.page.getByRole("button", { name: "Create account" }).click();
  await guest.page.getByLabel("Name", { exact: true }).fill("ben");
  await guest.page.getByLabel("Password").fill("correct horse");
  await guest.page.locator("form").getByRole("button", { name: "Create account" }).click();
  await guest.page.getByRole("dialog").getByRole("button", { name: "Join" }).click();
  await composer(guest.page).waitFor();
  assert.deepEqual(guest.console, []);

  // One who is logged in already never sees the form, not even for a moment.
  await guest.page.addInitScript(() => {
    window.sawForm = false;
    new MutationObserver(() => {
      if (document.querySelector("input[type=password]")) window.sawForm = true;
    }).observe(document, { childList: true, subtree: true });
  });
  await guest.page.reload();
  await composer(guest.page).waitFor();
  assert.equal(await guest.page.evaluate(() => window.sawForm), false);

  // What is not there is said, in place of something else.
  await guest.page.goto(server.url + "/c/123456");
  await guest.page.getByRole("heading", { name: "There is no such conversation" }).waitFor();
  await picture(guest.page, "no-such-conversation");
  await guest.page.goto(server.url + "/join/hky_of_nobody");
  await guest.page.getByText("This link is unknown, has expired or is used up.").waitFor();
  const stranger = await visit("/c/123456", server, {
    locale: "ja-JP",
    viewport: { width: 390, height: 844 },
  });
  await stranger.page.getByText("ログインすると会話が開きます。").waitFor();
  await stranger.page.goto(server.url + link.url);
  await stranger.page.getByText("「Crew of the evening ferry」に参加できます").waitFor();
  await picture(stranger.page, "join-logged-out-ja-phone");
  assert.deepEqual([...guest.errors, ...stranger.errors, ...stranger.console], []);
});

test("refusals are told in the reader's language", async () => {
  const server = await Server.start();
  await server.registerAccount("aki");
  const { page, errors } = await visit("/", server, { locale: "ja-JP" });
  await page.getByLabel("名前").fill("aki");
  await page.getByLabel("パスワード").fill("wrong horse");
  await page.getByRole("button", { name: "ログイン", exact: true }).click();
  await page.getByText("名前かパスワードが違います。").waitFor();
  await page.getByRole("button", { name: "アカウントを作成" }).click();
  for (const [name, password, says] of [
    ["a b", "correct horse", "名前には文字と数字を2〜32文字で使えます。間に . _ - を入れられます。"],
    [
      "everyone",
      "correct horse",
      "この名前、または似た名前（アクセント記号だけが違うものなど）は使われています。",
    ],
    ["ben", "short", "パスワードは10文字以上です。"],
    ["ben", "password123", "推測されやすいパスワードです。関係のない言葉をいくつか組み合わせてください。"],
    ["ben".repeat(20), "correct horse", "名前は32文字までです。"],
  ]) {
    await page.getByLabel("名前", { exact: true }).fill(name);
    await page.getByLabel("パスワード").fill(password);
    await page.locator("form").getByRole("button", { name: "アカウントを作成" }).click();
    await page.getByRole("alert").getByText(says).waitFor();
  }
  await picture(page, "refused-ja");
  assert.equal(await page.getByText(/must|may have|wrong/).count(), 0);
  assert.deepEqual(errors, []);
});

test("a group says who has read, new names arrive, and one who is removed is told", async () => {
  const server = await Server.start();
  const aki = await signUp(browser, server, "aki");
  const ben = await signUp(browser, server, "ben");
  const cem = await server.registerAccount("cem");
  const login = await server.api("", "POST", "/login", { name: "aki", password: "correct horse" });
  const { items } = await server.api(login.token, "GET", "/users?q=ben");
  const team = await server.api(login.token, "POST", "/conversations", {
    kind: "group",
    title: "Team",
    members: [items[0].id, cem.id],
  });
  await ben.page.getByRole("link", { name: /Team/ }).click();
  await aki.page.clock.install();
  await aki.page.goto(`${server.url}/c/${team.id}`);
  await sendMessage(aki.page, "Who comes along?");
  const sent = messageWith(aki.page, "Who comes along?");
  await messageWith(ben.page, "Who comes along?").waitFor();
  await sent.hover();
  await sent.getByRole("img", { name: "Read by 1 of 2" }).waitFor();
  await sent.getByText("1/2").waitFor();
  await sent.getByRole("button", { name: "Message actions" }).click();
  await aki.page.getByRole("menu").getByText("Read by 1 of 2").waitFor();
  await picture(aki.page, "read-by");
  await aki.page.keyboard.press("Escape");
  await server.api(cem.token, "PUT", `/conversations/${team.id}/marks`, { read: 1, received: 1 });
  await sent.getByRole("img", { name: "Read by 2 of 2" }).waitFor();

  // Nothing tells of a new name: the page asks again.
  await server.api(cem.token, "POST", `/conversations/${team.id}/messages`, {
    id: messageId(1),
    body: "I do",
  });
  await messageWith(aki.page, "I do").getByText("cem").waitFor();
  await server.api(cem.token, "PATCH", "/me", { display_name: "Cem the Second" });
  await aki.page.clock.fastForward(301_000);
  await messageWith(aki.page, "I do").getByText("Cem the Second").waitFor();

  // The list of devices names them as people do.
  await ben.page.getByRole("button", { name: /@ben Settings/ }).click();
  await ben.page.getByText("Chrome on Linux").waitFor();
  await ben.page.getByRole("dialog").getByRole("button", { name: "Close" }).click();

  await server.api(login.token, "DELETE", `/conversations/${team.id}/members/${items[0].id}`);
  await ben.page.getByRole("heading", { name: "You are no longer in “Team”" }).waitFor();
  assert.equal(await messageWith(ben.page, "Who comes along?").count(), 0);
  await picture(ben.page, "removed");
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});
