// The page as people meet it in a cluster: through nginx, each on some gateway.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bubble, Cluster, composer, launch, message, person, say } from "./harness.mjs";

let browser, cluster;
before(async () => {
  browser = await launch();
  cluster = await Cluster.start();
});
after(async () => {
  await browser?.close();
  assert.equal(await cluster?.stop(), 0, "the cluster did not stop well");
});

test("two people talk through nginx", async () => {
  const aki = await person(browser, cluster, "aki");
  const ben = await person(browser, cluster, "ben");
  await message(aki.page, "ben");
  await say(aki.page, "Hello **Ben**");
  await bubble(aki.page, "Hello Ben")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  await ben.page.getByRole("link", { name: /aki/ }).click();
  await bubble(ben.page, "Hello Ben").locator("strong").waitFor();
  await bubble(aki.page, "Hello Ben").getByRole("img", { name: "Read" }).waitFor();
  await composer(ben.page).pressSequentially("Hi");
  await aki.page.locator("[data-typing]").getByText("ben is typing…").waitFor();
  await composer(ben.page).press("Enter");
  await bubble(aki.page, "Hi").waitFor();
  await aki.page.reload();
  await bubble(aki.page, "Hi").waitFor();
  assert.deepEqual([...aki.faults, ...ben.faults], []);
});
