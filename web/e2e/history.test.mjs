import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "node:net";
import { messageWith, launchBrowser, messageId, signUp, Server } from "./harness.mjs";

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

/** The frame of a client for a text, masked with zeros. */
function encodeFrame(text) {
  const payload = Buffer.from(text);
  const head = payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 255]; // prettier-ignore
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
}

/** Sends n messages through a WebSocket, with at most a window of them in
 * flight. Node's own WebSocket cannot send the Authorization header. */
async function sendMessages(token, conversation, n) {
  const window = 750;
  const accepted = '"t":"accepted"';
  const socket = connect(server.port, "127.0.0.1");
  const key = Buffer.from("0123456789abcdef").toString("base64");
  socket.write(
    `GET /api/v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: hikyaku.v1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  let sent = 0;
  let answered = 0;
  let rest = "";
  const send = () => {
    for (; sent < n && sent - answered < window; sent++) {
      const body = `message ${sent + 1}` + " and more".repeat((sent + 1) % 7);
      const frame = { t: "send", id: messageId(sent + 1), conversation, body };
      socket.write(encodeFrame(JSON.stringify(frame)));
    }
  };
  try {
    await new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the connection ended")));
      socket.on("data", (data) => {
        const text = rest + data.toString("latin1");
        answered += text.split(accepted).length - 1;
        rest = text.slice(1 - accepted.length);
        if (text.includes('"t":"rejected"')) reject(new Error(text.slice(0, 500)));
        if (answered >= n) resolve();
        else send();
      });
    });
  } finally {
    socket.destroy();
  }
}

test("scrolling through 50,000 messages", async () => {
  const writer = await server.registerAccount("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "archive" });
  await sendMessages(writer.token, c.id, total);

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
