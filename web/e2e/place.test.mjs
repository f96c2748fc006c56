import assert from "node:assert/strict";
import { test } from "node:test";
import {
  browser,
  composer,
  messageId,
  messageWith,
  sendMessage,
  Server,
  signUp,
  useBrowser,
  waitUntil,
} from "./harness.mjs";

useBrowser();

/** Starts a server with a channel that aki is in, whose other member writes through the API. */
async function setup(options = {}) {
  const server = await Server.start();
  const writer = await server.registerAccount("writer");
  const c = await server.api(writer.token, "POST", "/conversations", { kind: "channel", title: "news" });
  let sent = 0;
  const write = async (...bodies) => {
    for (const body of bodies)
      await server.api(writer.token, "POST", `/conversations/${c.id}/messages`, {
        id: messageId(++sent),
        body,
      });
  };
  const aki = await signUp(browser, server, "aki", options);
  const me = await aki.page.evaluate(() => fetch("/api/v1/me").then((r) => r.json()));
  await server.api(writer.token, "POST", `/conversations/${c.id}/members`, { users: [me.user.id] });
  const row = aki.page.getByRole("link", { name: /news/ });
  await row.waitFor();
  return { server, write, aki, page: aki.page, row, conversation: c.id, token: writer.token };
}

const numbered = (word, n) => Array.from({ length: n }, (_, i) => `${word} ${i + 1}.`);
const list = (page) => page.locator("[data-timeline]");
const tall = (word) => Array.from({ length: 60 }, (_, i) => `${word}, line ${i}`).join("\n");

/** How far the end is below the viewport. */
const below = (page) => list(page).evaluate((e) => e.scrollHeight - e.clientHeight - e.scrollTop);

/** Waits until a timeline has rested for a while, and returns what it is like then. */
async function rest(page) {
  await page.waitForFunction(
    () => {
      const e = document.querySelector("[data-timeline]");
      if (!e) return false;
      const now = `${e.scrollHeight} ${e.clientHeight} ${e.scrollTop}`;
      const rests = now === window.lastSeen;
      window.lastSeen = now;
      window.restingFrames = rests ? window.restingFrames + 1 : 0;
      return window.restingFrames >= 30;
    },
    null,
    { polling: "raf" },
  );
}

async function assertAtEnd(page, what) {
  await rest(page);
  const distance = await below(page);
  assert.ok(Math.abs(distance) < 2, `${what}: the end is ${distance} px below`);
  assert.equal(await page.getByRole("button", { name: /Jump to latest/ }).count(), 0, what);
}

/** Where the first message in view begins, from the top of the timeline. */
const firstInView = (page) =>
  list(page).evaluate((e) => {
    const top = e.getBoundingClientRect().top;
    for (const r of e.querySelectorAll("[data-seq]")) {
      const b = r.getBoundingClientRect();
      if (b.bottom > top + 1) return { seq: Number(r.dataset.seq), top: Math.round(b.top - top) };
    }
    return null;
  });

const isInView = (page, locator) =>
  locator.evaluate((e) => {
    const box = document.querySelector("[data-timeline]").getBoundingClientRect();
    const b = e.getBoundingClientRect();
    return b.top >= box.top - 1 && b.bottom <= box.bottom + 1;
  });

/** Opens the conversation with everything in it read. */
async function openRead({ page, row, write }, bodies) {
  await write(...bodies);
  await row.click();
  await composer(page).waitFor();
  await rest(page);
  const jump = page.getByRole("button", { name: /Jump to latest/ });
  if (await jump.isVisible()) await jump.click();
  await row.getByLabel(/unread/).waitFor({ state: "detached" });
  await rest(page);
}

test("what one sends is seen, also with more unread than a page; they stay unread until they are seen", async () => {
  const s = await setup();
  const { page, write, row, aki } = s;
  await openRead(s, numbered("old", 5));
  await page.goto(s.server.url);
  await row.waitFor();
  await write(...numbered("new", 150));
  await row.getByText("99+").waitFor();
  await row.click();
  await messageWith(page, "new 1.").first().waitFor();
  await rest(page);
  await sendMessage(page, "and now me");
  const mine = messageWith(page, "and now me");
  await mine.getByRole("img", { name: /Accepted|Delivered/ }).waitFor();
  await rest(page);
  assert.ok(await isInView(page, mine), "the own message is in view");
  const notice = page.getByText(/^Jumped to the newest\. 1\d\d unread messages are above\.$/);
  await notice.waitFor();
  await assertAtEnd(page, "after sending");
  const { items: members } = await s.server.api(s.token, "GET", `/conversations/${s.conversation}/members`);
  // Those in view at first are read, and nothing of what was skipped.
  const { read } = members.find((m) => m.user.name === "aki");
  assert.ok(read < 80, `the others are told that it was read to ${read}`);

  await page.getByRole("button", { name: "Go to the first unread" }).click();
  const line = page.locator("[data-new]");
  await waitUntil(
    async () => (await line.count()) > 0 && isInView(page, line),
    "the line of new messages is in view",
  );
  await notice.waitFor({ state: "detached" });
  await page.getByRole("button", { name: /Jump to latest/ }).click();
  await mine.waitFor();
  await assertAtEnd(page, "in the end");

  // What was skipped is still unread after a reload.
  await page.goto(s.server.url);
  await row.waitFor();
  await write(...numbered("newer", 150));
  await row.getByText("99+").waitFor();
  await row.click();
  await line.waitFor();
  await rest(page);
  await sendMessage(page, "me again");
  await notice.waitFor();
  await rest(page);
  await page.reload();
  await line.waitFor();
  await rest(page);
  assert.ok(await isInView(page, line), "the line of new messages is in view after a reload");
  assert.deepEqual(aki.errors, []);
});

test("who is at the end stays there: over a reconnection, when the window or the composer change", async () => {
  const s = await setup({ viewport: { width: 390, height: 800 }, hasTouch: true });
  const { page, write, aki, server } = s;
  await openRead(s, numbered("a message", 60));
  await assertAtEnd(page, "opened");

  // Others write while the user's own are not sent: those come before them.
  await aki.context.setOffline(true);
  await server.kill();
  for (const text of ["mine 1", "mine 2"]) await sendMessage(page, text);
  await assertAtEnd(page, "written offline");
  await server.run();
  await write(...numbered("theirs", 12));
  await aki.context.setOffline(false);
  await messageWith(page, "theirs 12.").waitFor();
  await messageWith(page, "mine 2")
    .getByRole("img", { name: /Accepted|Delivered/ })
    .waitFor();
  await assertAtEnd(page, "reconnected");

  await page.setViewportSize({ width: 390, height: 440 });
  await assertAtEnd(page, "with a keyboard");
  await composer(page).fill(Array.from({ length: 8 }, (_, i) => `line ${i}`).join("\n"));
  await assertAtEnd(page, "with eight lines in the composer");
  await composer(page).fill("");
  await assertAtEnd(page, "with one line");
  await page.setViewportSize({ width: 800, height: 390 });
  await assertAtEnd(page, "turned");
  await page.setViewportSize({ width: 195, height: 400 });
  await assertAtEnd(page, "zoomed");
  await page.setViewportSize({ width: 390, height: 800 });
  await assertAtEnd(page, "back");
  await page.evaluate(() => (document.body.style.fontFamily = "monospace"));
  await assertAtEnd(page, "in another font");
  // Something in the last message gets its size late.
  await page.evaluate(() => {
    const box = document.createElement("div");
    box.style.height = "300px";
    [...document.querySelectorAll("[data-seq] .markdown")].at(-1).append(box);
  });
  await assertAtEnd(page, "with late contents");
  assert.deepEqual(aki.errors, []);
});

test("the place is kept over a switch and a reload, and where the window is turned", async () => {
  const s = await setup();
  const { page, row, aki, write } = s;
  await openRead(s, numbered("a message", 300));
  await s.server.api(s.token, "POST", "/conversations", { kind: "channel", title: "other" });
  for (let i = 0; i < 6; i++) {
    await list(page).evaluate((e) => e.scrollBy(0, -500));
    await rest(page);
  }
  const place = await firstInView(page);
  assert.ok(place.seq < 250, `scrolled up to ${place.seq}`);
  await page.getByRole("button", { name: "Browse channels" }).click();
  await page.getByRole("button", { name: "Join other" }).click();
  await page.getByRole("textbox", { name: "Message other" }).waitFor();
  await write("meanwhile");
  await row.click();
  await page.getByRole("textbox", { name: "Message news" }).waitFor();
  await rest(page);
  assert.deepEqual(await firstInView(page), place, "after a switch");
  await page.reload();
  await list(page).waitFor();
  await rest(page);
  assert.deepEqual(await firstInView(page), place, "after a reload");
  await page.setViewportSize({ width: 600, height: 900 });
  await rest(page);
  assert.equal((await firstInView(page)).seq, place.seq, "turned");
  assert.deepEqual(aki.errors, []);
});

test("a conversation opens with the line of new messages in view, however tall the last one that was read is", async () => {
  const s = await setup();
  const { page, row, write, aki } = s;
  await openRead(s, [...numbered("old", 5), tall("old")]);
  await page.goto(s.server.url);
  await row.waitFor();
  await write("new 1.", tall("new"), tall("newer"));
  await row.getByLabel("3 unread messages").waitFor();
  await row.click();
  const line = page.locator("[data-new]");
  await line.waitFor();
  await rest(page);
  assert.ok(await isInView(page, line), "the line is in view");
  assert.ok(await isInView(page, messageWith(page, "new 1.")), "so is the first unread message");
  assert.deepEqual(aki.errors, []);
});

test("a burst never shows a timeline that is half empty", async () => {
  const s = await setup();
  const { page, write, aki } = s;
  await openRead(s, numbered("a message", 40));
  // In each frame: how much of the timeline has no row in it. Looked at after the last of
  // the frame's resize observers, so that it is what is painted.
  await page.evaluate(() => {
    window.worst = { empty: 0 };
    const look = () => {
      const e = document.querySelector("[data-timeline]");
      const box = e.getBoundingClientRect();
      let covered = 0;
      for (const r of e.firstElementChild.children) {
        if (getComputedStyle(r).visibility === "hidden") continue;
        const b = r.getBoundingClientRect();
        covered += Math.max(0, Math.min(b.bottom, box.bottom) - Math.max(b.top, box.top));
      }
      const empty = Math.round(box.height - covered);
      if (empty > window.worst.empty)
        window.worst = { empty, below: e.scrollHeight - e.clientHeight - e.scrollTop };
    };
    const probes = [];
    for (let i = 0, parent = document.body; i < 30; i++) {
      const probe = document.createElement("div");
      probe.style.cssText = "position:fixed;width:1px;height:1px;visibility:hidden";
      parent.append(probe);
      probes.push(probe);
      parent = probe;
    }
    // Observers of deeper elements are called after those of the elements around them.
    const after = (depth) => {
      const o = new ResizeObserver(() => {
        o.disconnect();
        if (depth + 1 < probes.length) after(depth + 1);
        else look();
      });
      o.observe(probes[depth]);
    };
    const frame = () => {
      after(20);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await aki.context.setOffline(true);
  await s.server.kill();
  await s.server.run();
  await write(...numbered("burst", 30), tall("burst"), ...numbered("more", 20));
  await aki.context.setOffline(false);
  await messageWith(page, "more 20.").waitFor();
  await assertAtEnd(page, "after the burst");
  await Promise.all(numbered("quick", 30).map((body) => write(body)));
  await messageWith(page, "quick 30.").waitFor();
  await assertAtEnd(page, "after the second");
  const worst = await page.evaluate(() => window.worst);
  assert.ok(worst.empty < 60, `${JSON.stringify(worst)} px were empty`);
  assert.deepEqual(aki.errors, []);
});

test("the message that is edited is never covered", async () => {
  const s = await setup({ viewport: { width: 390, height: 800 }, hasTouch: true });
  const { page, write, aki } = s;
  await openRead(s, numbered("a message", 20));
  const text = Array.from({ length: 7 }, (_, i) => `mine, line ${i}`).join("\n");
  await sendMessage(page, text);
  const mine = messageWith(page, "mine, line 0");
  await mine.getByRole("img", { name: /Accepted|Delivered/ }).waitFor();
  await write(...numbered("theirs", 8));
  await messageWith(page, "theirs 8.").waitFor();
  await rest(page);
  await composer(page).press("ArrowUp");
  await page.getByText("Editing message").waitFor();
  await rest(page);
  assert.ok(await isInView(page, mine), "beside the composer");
  await page.setViewportSize({ width: 390, height: 560 });
  await rest(page);
  assert.ok(await isInView(page, mine), "beside the keyboard");
  assert.deepEqual(aki.errors, []);
});

test("rows do not move when the pointer is over them, or when a message is accepted", async () => {
  const s = await setup();
  const { page, aki, server } = s;
  await openRead(s, ["one", "two", "three"]);
  const heights = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("article")].map((e) => e.getBoundingClientRect().height),
    );
  await aki.context.setOffline(true);
  await server.kill();
  await sendMessage(page, "first of mine");
  await sendMessage(page, "second of mine");
  const second = messageWith(page, "second of mine");
  await second.getByRole("img", { name: "Sending" }).waitFor();
  const before = await heights();
  await messageWith(page, "two").hover();
  const time = messageWith(page, "two").locator("time");
  await time.waitFor({ state: "visible" });
  assert.match(await time.textContent(), /[AP]M$/, "the widest form of a time");
  assert.deepEqual(await heights(), before, "while the pointer is over a message");
  assert.equal(await time.evaluate((e) => e.getClientRects().length), 1);
  assert.ok(
    await time.evaluate((e) => e.scrollWidth <= e.clientWidth + 1 && e.offsetHeight < 24),
    "in one line",
  );
  await server.run();
  await aki.context.setOffline(false);
  await second.getByRole("img", { name: /Accepted|Delivered/ }).waitFor();
  assert.deepEqual(await heights(), before, "accepted");
  assert.equal(before[2], before[1], "and as high as any other");
  assert.equal(before[4], before[1], "and as high as any other");
  assert.deepEqual(aki.errors, []);
});

test("on a touch screen a long press opens the menu, nothing covers the marks, and targets are large", async () => {
  const s = await setup({ viewport: { width: 390, height: 844 }, hasTouch: true });
  const { page, aki } = s;
  await openRead(s, ["one", "two"]);
  await sendMessage(page, "first of mine");
  await sendMessage(page, "second of mine");
  const mine = messageWith(page, "first of mine");
  const mark = mine.getByRole("img", { name: /Accepted|Delivered/ });
  await mark.waitFor();
  const covered = await mark.evaluate((e) => {
    const b = e.getBoundingClientRect();
    return document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2) !== e;
  });
  assert.equal(covered, false, "nothing covers the mark");
  const dots = mine.getByRole("button", { name: "Message actions" });
  assert.equal(await dots.evaluate((e) => getComputedStyle(e).opacity), "0", "no dots");

  const box = await mine.boundingBox();
  const cdp = await aki.context.newCDPSession(page);
  const touchPoints = [{ x: box.x + 120, y: box.y + box.height - 10 }];
  await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints });
  const reply = page.getByRole("menuitem", { name: "Reply" });
  await reply.waitFor();
  await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await page.getByRole("menuitem", { name: "Delete" }).waitFor();
  const small = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("button, a[href], [role=menuitem], input, textarea")]
        .filter((e) => {
          const style = getComputedStyle(e);
          const b = e.getBoundingClientRect();
          return (
            style.pointerEvents !== "none" &&
            b.width > 0 &&
            b.right > 0 &&
            (b.height < 43.5 || b.width < 43.5)
          );
        })
        .map((e) => e.outerHTML.slice(0, 120)),
    );
  assert.deepEqual(await small(), [], "with the menu");
  await reply.tap();
  await page.getByText("Replying to").waitFor();
  assert.deepEqual(await small(), [], "with a reply");
  await sendMessage(page, "an answer");
  await messageWith(page, "an answer").getByText("first of mine").waitFor();
  assert.deepEqual(await small(), [], "with a quote");
  await page.getByRole("button", { name: "Back to conversations" }).tap();
  await page.getByRole("button", { name: "New conversation" }).waitFor();
  assert.deepEqual(await small(), [], "in the list");
  assert.deepEqual(aki.errors, []);
});

test("today becomes yesterday at midnight", async () => {
  const s = await setup();
  const { page, aki } = s;
  await openRead(s, ["one"]);
  await page.getByText("Today", { exact: true }).waitFor();
  await page.clock.install();
  await page.reload();
  await page.getByText("Today", { exact: true }).waitFor();
  await page.clock.fastForward("24:00:00");
  await page.locator("[data-timeline]").getByText("Yesterday", { exact: true }).waitFor();
  await page.getByRole("link", { name: /news/ }).getByText("Yesterday").waitFor();
  assert.deepEqual(aki.errors, []);
});

test("a message that arrives has at most two rows rendered again", async () => {
  const s = await setup();
  const { page, write, aki } = s;
  // React tells its developer tools of each commit; a component that was rendered in it has
  // the flag PerformedWork.
  await page.addInitScript(() => {
    const performedWork = 1;
    window.rendered = { first: 0, again: 0 };
    const isRow = (fiber) => typeof fiber.type !== "string" && fiber.child?.type === "article";
    const count = (now, before) => {
      if (!now || now === before) return;
      if (isRow(now) && now.flags & performedWork) window.rendered[before ? "again" : "first"]++;
      if (before && now.child === before.child) return;
      for (let c = now.child; c; c = c.sibling) count(c, c.alternate);
    };
    window.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
      supportsFiber: true,
      inject: () => 1,
      onCommitFiberRoot: (_, root) => count(root.current, root.current.alternate),
      onCommitFiberUnmount() {},
    };
  });
  await page.reload();
  await openRead(s, numbered("a message", 30));
  assert.ok((await page.evaluate(() => window.rendered.first)) >= 15, "rows are counted");
  await page.evaluate(() => (window.rendered = { first: 0, again: 0 }));
  await write("one more");
  await messageWith(page, "one more").waitFor();
  await rest(page);
  const { first, again } = await page.evaluate(() => window.rendered);
  assert.ok(first >= 1, "the new row is counted");
  assert.ok(again <= 2, `${again} rows were rendered again`);
  assert.deepEqual(aki.errors, []);
});
