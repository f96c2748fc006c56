// The cards of people.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import {
  browser,
  messageId,
  messageWith,
  picture,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const isFocused = (locator) => locator.evaluate((e) => e === document.activeElement);
const row = (page, name) => page.getByRole("navigation").getByRole("link", { name });

/** Starts a server with aki's page in a group with ben, who has written there. */
async function setup(options = {}) {
  const server = await Server.start();
  const ben = await server.registerAccount("ben");
  await server.api(ben.token, "PATCH", "/me", { display_name: "👩‍👩‍👧 Ben" });
  const aki = await signUp(browser, server, "aki", options);
  const { user } = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  const group = await server.api(ben.token, "POST", "/conversations", { kind: "group", title: "Team", members: [user.id] }); // prettier-ignore
  let n = 0;
  const write = (body, id = group.id) =>
    server.api(ben.token, "POST", `/conversations/${id}/messages`, { id: messageId(++n), body });
  await write("hello from ben");
  await row(aki.page, /Team/).click();
  await messageWith(aki.page, "hello from ben").waitFor();
  return { server, ben, aki, page: aki.page, me: user, write };
}

for (const [device, options] of [
  ["a desk", {}],
  ["a phone", phone],
])
  test(`a name opens a card, from which one writes to the person: on ${device}`, async () => {
    const { aki, page } = await setup(options);
    const name = messageWith(page, "hello").getByRole("button", { name: "Ben" });
    const card = page.getByRole("dialog", { name: "Ben" });
    const open = async (how) => {
      await how();
      await waitUntil(
        () => isFocused(card.getByRole("button", { name: "Message" })),
        "the button has the focus",
      );
    };
    await open(() => name.press("Enter"));
    await card.getByText("@ben").waitFor();
    await card.getByText("👩‍👩‍👧", { exact: true }).waitFor(); // the first character as people count them
    await card.getByText("Offline").or(card.getByText("Last seen")).waitFor();
    const box = await card.boundingBox();
    const { width, height } = options.viewport ?? { width: 1200, height: 800 };
    assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height);
    assert.deepEqual(await accessibilityViolations(page), []);
    await picture(page, `card-${device.slice(2)}`);
    await page.keyboard.press("Escape");
    await card.waitFor({ state: "detached" });
    await waitUntil(() => isFocused(name), "the name has the focus again");

    // The picture does as well, and so do the members.
    await open(() => messageWith(page, "hello").locator("[aria-hidden]").getByText("👩‍👩‍👧").click());
    await page.keyboard.press("Escape");
    await card.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Members and settings" }).click();
    const member = page.getByRole("dialog", { name: "Team" }).getByRole("button", { name: /@ben/ });
    await open(() => member.press("Enter"));
    await picture(page, `card-members-${device.slice(2)}`);
    await page.keyboard.press("Escape");
    await card.waitFor({ state: "detached" });
    await waitUntil(() => isFocused(member), "the member has the focus again");
    await page.getByRole("dialog", { name: "Team" }).getByRole("button", { name: /@aki/ }).click();
    const own = page.getByRole("dialog", { name: "aki" });
    await own.getByText("you").waitFor();
    assert.equal(await own.getByRole("button", { name: "Message" }).count(), 0);
    await page.keyboard.press("Escape");
    await own.waitFor({ state: "detached" });
    // One press closes one thing, also before the card has the focus.
    for (let i = 0; i < 5; i++) {
      await page.evaluate(() => document.activeElement.blur());
      await member.click();
      await card.waitFor();
      await page.keyboard.press("Escape");
      await card.waitFor({ state: "detached" });
      assert.equal(await page.getByRole("dialog", { name: "Team" }).count(), 1);
    }

    await open(() => member.click());
    await card.getByRole("button", { name: "Message" }).click();
    await page.getByRole("heading", { name: "Ben" }).waitFor();
    await waitUntil(async () => (await page.getByRole("dialog").count()) === 0, "all dialogs are closed");
    await sendMessage(page, "just between us");
    assert.deepEqual(aki.errors, []);
  });
