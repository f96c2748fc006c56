import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { bubble, launch, person, Server } from "./harness.mjs";

const total = 50_000;

let browser, server;
before(async () => {
  browser = await launch();
  server = await Server.start("--in-flight", "100000");
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A UUIDv7 for the n-th message. */
function id(n) {
  const ms = Date.now().toString(16).padStart(12, "0");
  const tail = n.toString(16).padStart(12, "0");
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${tail}`;
}

/** Sends many messages through the socket, as a program does, in windows. */
async function fill(token, conversation, n) {
  // Node's own WebSocket cannot send headers; the token comes as the cookie
  // would, so the page's way in is used by a plain upgrade request.
  const { connect } = await import("node:net");
  const socket = connect(server.port, "127.0.0.1");
  const key = Buffer.from("0123456789abcdef").toString("base64");
  socket.write(
    `GET /api/v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: hikyaku.v1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  const frame = (text) => {
    const payload = Buffer.from(text);
    const head = payload.length < 126 ? Buffer.from([0x81, 0x80 | payload.length]) : Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255]); // prettier-ignore
    return Buffer.concat([head, Buffer.alloc(4), payload]); // a mask of zeros
  };
  const needle = '"t":"accepted"';
  let accepted = 0;
  let tail = "";
  let failure = null;
  const ended = new Promise((done) => {
    const fail = (e) => done((failure = e));
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the connection ended")));
    socket.on("data", (b) => {
      const text = tail + b.toString("latin1");
      accepted += text.split(needle).length - 1;
      tail = text.slice(1 - needle.length);
      if (text.includes('"t":"rejected"')) fail(new Error(text.slice(0, 500)));
      if (accepted >= n) done();
    });
  });
  for (let i = 1; i <= n; i++) {
    socket.write(
      frame(
        JSON.stringify({
          t: "send",
          id: id(i),
          conversation,
          body: `message ${i}` + " and more".repeat(i % 7),
        }),
      ),
    );
    if (i % 250 === 0) while (accepted < i - 500 && !failure) await pause(5);
  }
  await ended;
  if (failure) throw failure;
  socket.destroy();
}

test("50,000 messages scroll smoothly", async () => {
  const writer = await server.account("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "archive" });
  await fill(writer.token, c.id, total);

  const aki = await person(browser, server, "aki");
  const page = aki.page;
  await page.getByRole("button", { name: "Browse channels" }).click();
  await page.getByRole("button", { name: "Join archive" }).click();
  await bubble(page, `message ${total}`).waitFor();
  const list = page.locator("[data-timeline]");

  // The list has found its place at the end.
  await page.waitForFunction(
    () => {
      const e = document.querySelector("[data-timeline]");
      const now = e.scrollTop + "/" + e.scrollHeight;
      const same = window.lastPlace === now;
      window.lastPlace = now;
      return same;
    },
    null,
    { polling: 250 },
  );

  // Scroll up through many pages. What is in view stays in view while older
  // pages come in front, and the page never holds more than a screenful or
  // two of messages.
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
        { timeout: 10_000, polling: "raf" },
      )
      .catch(async (e) => {
        const state = await list.evaluate((l) => ({ top: l.scrollTop, height: l.scrollHeight, rows: [...l.querySelectorAll("[data-seq]")].map((r) => r.dataset.seq), first: l.dataset.first, last: l.dataset.last })); // prettier-ignore
        throw new Error(`step ${i}: ${JSON.stringify(state)}`, { cause: e });
      });
    const { seqs, rows } = await seen.jsonValue();
    for (let k = 1; k < seqs.length; k++)
      assert.equal(seqs[k], seqs[k - 1] + 1, "the messages in view follow each other");
    assert.ok(seqs[0] <= lowest, `scrolling up shows earlier messages, not ${seqs[0]} after ${lowest}`);
    assert.ok(lowest - seqs[0] < 200, `no jump: from ${lowest} to ${seqs[0]}`);
    assert.ok(rows < 150, `${rows} messages are in the document`);
    lowest = seqs[0];
  }
  assert.ok(lowest < total - 500, `it went up to ${lowest}`);

  // Far away and back.
  await page.getByRole("button", { name: /Jump to latest/ }).click();
  await bubble(page, `message ${total}`).waitFor();
  assert.deepEqual(aki.faults, []);
});
