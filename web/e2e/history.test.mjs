import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageWith, launchBrowser, signUp, Server } from "./harness.mjs";
import { sendMessages } from "./seed.mjs";

const total = 50_000;

let browser, server;
before(async () => {
  browser = await launchBrowser();
  server = await Server.start("--in-flight", "100000");
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("scrolling through 50,000 messages", async () => {
  const writer = await server.registerAccount("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "archive" });
  const body = (n) => `message ${n}` + " and more".repeat(n % 7);
  const messages = Array.from({ length: total }, (_, i) => ({ conversation: c.id, body: body(i + 1) }));
  await sendMessages(server, writer.token, messages);

  const aki = await signUp(browser, server, "aki");
  const page = aki.page;
  await page.getByRole("button", { name: "Browse channels" }).click();
  await page.getByRole("button", { name: "Join archive" }).click();
  await messageWith(page, `message ${total}`).waitFor();
  const list = page.locator("[data-timeline]");

  // The list rests at its end: it scrolls again when it has measured its rows.
  await page.waitForFunction(
    () => {
      const e = document.querySelector("[data-timeline]");
      const height = e.scrollHeight;
      const rests = height === window.lastHeight && height - e.scrollTop - e.clientHeight < 2;
      window.lastHeight = height;
      window.restingFrames = rests ? window.restingFrames + 1 : 0;
      return window.restingFrames >= 60;
    },
    null,
    { polling: "raf" },
  );

  // Scroll up through many pages. What is in view stays in view while older
  // pages are added above, and the document never has more than a few screens
  // of messages.
  let lowest = total;
  for (let i = 0; i < 170; i++) {
    await list.evaluate((e) => e.scrollBy(0, -700));
    const seen = await page
      .waitForFunction(
        () => {
          const box = document.querySelector("[data-timeline]").getBoundingClientRect();
          const rows = [...document.querySelectorAll("[data-timeline] [data-seq]")];
          const inView = rows.filter((r) => {
            const b = r.getBoundingClientRect();
            return b.bottom > box.top && b.top < box.bottom;
          });
          return inView.length > 3 && { seqs: inView.map((r) => Number(r.dataset.seq)), rows: rows.length };
        },
        null,
        { polling: "raf" },
      )
      .catch(async (e) => {
        const state = await list.evaluate((l) => ({ top: l.scrollTop, height: l.scrollHeight, rows: [...l.querySelectorAll("[data-seq]")].map((r) => r.dataset.seq), first: l.dataset.first, last: l.dataset.last })); // prettier-ignore
        throw new Error(`step ${i}: ${JSON.stringify(state)}`, { cause: e });
      });
    const { seqs, rows } = await seen.jsonValue();
    for (let k = 1; k < seqs.length; k++)
      assert.equal(seqs[k], seqs[k - 1] + 1, "the messages in view are contiguous");
    assert.ok(seqs[0] <= lowest, `scrolling up shows earlier messages, not ${seqs[0]} after ${lowest}`);
    assert.ok(lowest - seqs[0] < 200, `no jump: from ${lowest} to ${seqs[0]}`);
    assert.ok(rows < 150, `${rows} messages are in the document`);
    lowest = seqs[0];
  }
  assert.ok(lowest < total - 500, `it went up to ${lowest}`);

  // Jump back to the end.
  await page.getByRole("button", { name: /Jump to latest/ }).click();
  await messageWith(page, `message ${total}`).waitFor();
  assert.deepEqual(aki.errors, []);
});
