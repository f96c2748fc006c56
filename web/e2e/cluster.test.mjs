// The page on a cluster: through nginx, each user on one of the gateways.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  Cluster,
  messageWith,
  composer,
  launchBrowser,
  openDirectConversation,
  signUp,
  sendMessage,
} from "./harness.mjs";

let browser, cluster;
before(async () => {
  browser = await launchBrowser();
  cluster = await Cluster.start();
});
after(async () => {
  await browser?.close();
  assert.equal(await cluster?.stop(), 0, "the exit code of the cluster");
});

test("two users talk through nginx", async () => {
  const aki = await signUp(browser, cluster, "aki");
  const ben = await signUp(browser, cluster, "ben");
  await openDirectConversation(aki.page, "ben");
  await sendMessage(aki.page, "Hello **Ben**");
  await messageWith(aki.page, "Hello Ben")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await messageWith(ben.page, "Hello Ben").locator("strong").waitFor();
  await messageWith(aki.page, "Hello Ben").getByRole("img", { name: "Read" }).waitFor();
  await composer(ben.page).pressSequentially("Hi");
  await aki.page.locator("[data-typing]").getByText("ben is typing…").waitFor();
  await composer(ben.page).press("Enter");
  await messageWith(aki.page, "Hi").waitFor();
  await aki.page.reload();
  await messageWith(aki.page, "Hi").waitFor();
  assert.deepEqual([...aki.errors, ...ben.errors], []);
});
