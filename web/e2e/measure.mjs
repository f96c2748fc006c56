// Measures what the page costs with many conversations: `make bench-page`.
//
//   node e2e/measure.mjs [--conversations 10,300,1000] [--messages 50000] [--runs 3] [--json FILE]
//
// For each number of conversations it starts a server on a private port and in a
// temporary folder, fills it, and opens the page in Chromium, in a profile of its own in
// each run. What it prints is a table of medians, as it stands in docs/performance.md.
// They are of the page's own process: how long its main thread worked, how much processor
// time the process took, what is in its heap after a collection, how much memory it has
// for itself, the longest time for which nothing else could happen, and the frames that
// were not drawn in time.
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { launchBrowser, newPage, messageId, Server, waitUntil } from "./harness.mjs";
import { logIn, makeConversations } from "./seed.mjs";

const { values: options } = parseArgs({
  options: {
    conversations: { type: "string", default: "10,300,1000" },
    messages: { type: "string", default: "50000" },
    runs: { type: "string", default: "3" },
    json: { type: "string" },
    screenshots: { type: "string" },
  },
});

/** How many messages arrive, how many times a conversation is opened, and for how many
 * frames each list is scrolled. */
const arriving = 100;
const switches = 20;
const frames = 180;

/** Watches the page for long tasks and late frames from its beginning. */
function watch() {
  window.longTasks = [];
  new PerformanceObserver((l) => window.longTasks.push(...l.getEntries().map((e) => e.duration))).observe({
    type: "longtask",
    buffered: true,
  });
  /** Calls step in each of n frames; returns how many frames were left out. */
  window.eachFrame = (n, step) =>
    new Promise((done) => {
      let last = 0;
      let dropped = 0;
      const frame = (now) => {
        // Frames are 1/60 s apart; one that is late leaves out those in between.
        if (last) dropped += Math.max(0, Math.round((now - last) / (1000 / 60)) - 1);
        last = now;
        if (n-- === 0) return done(dropped);
        step();
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
  window.scrollerIn = (root) =>
    [root, ...root.querySelectorAll("*")].find(
      (e) => e.scrollHeight > e.clientHeight + 1 && getComputedStyle(e).overflowY === "auto",
    );
}

class Probe {
  static async attach(browser, page) {
    const p = new Probe();
    p.page = page;
    p.tab = await page.context().newCDPSession(page);
    p.whole = await browser.newBrowserCDPSession();
    await p.tab.send("Performance.enable");
    return p;
  }

  /** Seconds of work so far. */
  async read() {
    const { metrics } = await this.tab.send("Performance.getMetrics");
    const m = Object.fromEntries(metrics.map((x) => [x.name, x.value]));
    const { processInfo } = await this.whole.send("SystemInfo.getProcessInfo");
    const renderers = processInfo.filter((x) => x.type === "renderer");
    return {
      task: m.TaskDuration,
      script: m.ScriptDuration,
      layout: m.LayoutDuration + m.RecalcStyleDuration,
      processor: renderers.reduce((n, x) => n + x.cpuTime, 0),
      nodes: m.Nodes,
      heap: m.JSHeapUsedSize,
      renderers: renderers.map((x) => x.id),
    };
  }

  /** Waits until the page has nothing to do. */
  async settle() {
    let before = await this.read();
    for (let calm = 0; calm < 3;) {
      await new Promise((r) => setTimeout(r, 250));
      const now = await this.read();
      calm = now.task - before.task < 0.01 ? calm + 1 : 0;
      before = now;
    }
    return before;
  }

  /** Returns what f costs until the page has settled, in milliseconds. */
  async costOf(f) {
    const before = await this.settle();
    await this.page.evaluate(() => void (window.longTasks = []));
    const result = await f();
    const after = await this.settle();
    const longest = await this.page.evaluate(() => Math.max(0, ...window.longTasks));
    const ms = (k) => Math.round((after[k] - before[k]) * 1000);
    return { result, task: ms("task"), script: ms("script"), layout: ms("layout"), processor: ms("processor"), longest: Math.round(longest) }; // prettier-ignore
  }

  /** Bytes in the heap after a collection, nodes of the document, and the memory that
   * the page's process shares with nobody. */
  async memory() {
    await this.tab.send("HeapProfiler.collectGarbage");
    const { heap, nodes, renderers } = await this.read();
    const own = await Promise.all(
      renderers.map(async (pid) => {
        const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
        return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce(
          (n, m) => n + Number(m[1]) * 1024,
          0,
        );
      }),
    );
    return { heap, nodes, own: Math.max(...own) };
  }
}

/** Measures the page with n conversations; returns what each run has found. */
async function measure(browser, n) {
  const server = await Server.start("--in-flight", "100000");
  const account = await makeConversations(server, n, Number(options.messages));
  const runs = [];
  for (let i = 0; i < Number(options.runs); i++) runs.push(await run(browser, server, account));
  await server.stop();
  return runs;
}

async function run(browser, server, { me, conversations }) {
  const n = conversations.length;
  const { context, page } = await newPage(browser);
  await logIn(context, server, me);
  await context.addInitScript(watch);
  const probe = await Probe.attach(browser, page);

  const load = async () => {
    const before = await probe.read();
    const began = Date.now();
    await page.goto(server.url);
    await page.getByRole("navigation").getByRole("link").first().waitFor();
    const shown = Date.now() - began;
    // What the page keeps of the list it writes some seconds later.
    await new Promise((r) => setTimeout(r, 4000));
    const after = await probe.settle();
    // A document begins at 0. Its process may be that of the document before it.
    const spent = (k) => Math.round(after[k] * 1000);
    const processor = after.processor - (after.processor < before.processor ? 0 : before.processor);
    const memory = await probe.memory();
    return {
      shown, task: spent("task"), script: spent("script"), layout: spent("layout"), processor: Math.round(processor * 1000),
      longest: Math.round(await page.evaluate(() => Math.max(0, ...window.longTasks))), ...memory,
    }; // prettier-ignore
  };
  const opening = await load();
  const again = await load();
  if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `open-${n}.png`) });

  const links = page.getByRole("navigation").getByRole("link");
  const open = async (i) => {
    await links.nth(i).evaluate((a) => a.click());
    await page.locator("[data-timeline] [data-seq]").first().waitFor();
  };
  await open(0);
  let sent = 0;
  const say = (c, body) =>
    server.api(c.writer.token, "POST", `/conversations/${c.id}/messages`, {
      id: messageId(1e6 + ++sent),
      body,
    });
  const shownConversation = conversations.find((c) => page.url().endsWith(c.id));
  const arrive = (choose) => async () => {
    for (let i = 0; i < arriving; i++) {
      await say(choose(i), `arrived ${i}.`);
      await new Promise((r) => setTimeout(r, 20));
    }
    const last = `arrived ${arriving - 1}.`;
    await waitUntil(
      () => page.getByRole("navigation").getByText(last).count(),
      "the last one is in the list",
    );
  };
  const perMessage = (cost) => ({ ...cost, result: undefined, task: cost.task / arriving, script: cost.script / arriving, layout: cost.layout / arriving, processor: cost.processor / arriving }); // prettier-ignore
  const arrivingHere = perMessage(await probe.costOf(arrive(() => shownConversation)));
  const arrivingElsewhere = perMessage(
    await probe.costOf(arrive((i) => conversations[(i * 37) % conversations.length])),
  );

  const switching = await probe.costOf(async () => {
    for (let i = 0; i < switches; i++) await open(1 + (i % Math.min(8, n - 1)));
  });
  for (const k of ["task", "script", "layout", "processor"])
    switching[k] = Math.round(switching[k] / switches);
  const scroll = (selector, by) =>
    probe.costOf(() =>
      page.evaluate(
        async ([s, dy, count]) => {
          const e = window.scrollerIn(document.querySelector(s));
          if (!e) return 0; // everything is in view
          let moved = 0;
          const onScroll = () => moved++;
          e.addEventListener("scroll", onScroll);
          const dropped = await window.eachFrame(count, () => e.scrollBy(0, dy));
          e.removeEventListener("scroll", onScroll);
          if (moved < 10) throw new Error("nothing has scrolled");
          return dropped;
        },
        [selector, by, frames],
      ),
    );
  const scrollingList = await scroll("nav", 200);
  if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `scrolled-${n}.png`) });
  await page.evaluate(() => window.scrollerIn(document.querySelector("nav"))?.scrollTo(0, 0));
  await page.evaluate((id) => {
    history.pushState(null, "", "/c/" + id);
    dispatchEvent(new PopStateEvent("popstate"));
  }, conversations[0].id); // the longest
  await page.locator("[data-timeline] [data-seq]").first().waitFor();
  await probe.settle();
  // It may begin at the first unread message. People scroll up from the latest.
  const jump = page.getByRole("button", { name: "Jump to latest" });
  if (await jump.count()) await jump.click();
  await jump.waitFor({ state: "detached" });
  const scrollingTimeline = await scroll("[data-timeline]", -60);
  await context.close();
  return { opening, again, arrivingHere, arrivingElsewhere, switching, scrollingList, scrollingTimeline };
}

/** What a browser loads before the list is shown, with a conversation, and in all, in bytes
 * compressed as the server sends them. */
async function bundle() {
  const dist = resolve(import.meta.dirname, "../dist");
  const manifest = JSON.parse(await readFile(join(dist, "assets/manifest.json"), "utf8"));
  const sizeOf = async (...keys) => {
    const files = new Set(["index.html"]);
    const add = (key) => {
      const { file, css = [], imports = [] } = manifest[key];
      if (files.has(file)) return;
      for (const f of [file, ...css]) files.add(f);
      imports.forEach(add);
    };
    keys.forEach(add);
    const read = async (f) => gzipSync(await readFile(join(dist, f)), { level: 9 }).length;
    return (await Promise.all([...files].map(read))).reduce((n, size) => n + size, 0);
  };
  return {
    first: await sizeOf("index.html"),
    conversation: await sizeOf("index.html", "src/features/timeline/ConversationView.tsx"),
    all: await sizeOf(...Object.keys(manifest)),
  };
}

const milliseconds = (n) => `${n < 20 ? n.toFixed(1) : Math.round(n)} ms`;
const seconds = (n) => `${(n / 1000).toFixed(2)} s`;
const megabytes = (n) => (n / 1e6).toFixed(n < 20e6 ? 1 : 0);
const longest = (n) => (n ? `${n} ms` : "none");

/** The lines of the table: what each tells of a run, and how it is written. */
const lines = [
  ["opening: list shown after", (r) => r.opening.shown, milliseconds],
  ["opening: main thread", (r) => r.opening.task, milliseconds],
  ["opening: processor", (r) => r.opening.processor, seconds],
  ["opening: longest task over 50 ms", (r) => r.opening.longest, longest],
  ["heap, MB", (r) => r.opening.heap, megabytes],
  ["own memory, MB", (r) => r.opening.own, megabytes],
  ["nodes of the document", (r) => r.opening.nodes, String],
  ["opening again: list shown after", (r) => r.again.shown, milliseconds],
  ["opening again: main thread", (r) => r.again.task, milliseconds],
  ["opening again: processor", (r) => r.again.processor, seconds],
  ["a message arrives in the open conversation: main thread", (r) => r.arrivingHere.task, milliseconds],
  ["processor", (r) => r.arrivingHere.processor, milliseconds],
  ["a message arrives in another one: main thread", (r) => r.arrivingElsewhere.task, milliseconds],
  ["processor", (r) => r.arrivingElsewhere.processor, milliseconds],
  ["another conversation is opened: main thread", (r) => r.switching.task, milliseconds],
  ["processor", (r) => r.switching.processor, milliseconds],
  ["longest task over 50 ms", (r) => r.switching.longest, longest],
  ["the list scrolls: main thread", (r) => r.scrollingList.task, milliseconds],
  [`frames dropped of ${frames}`, (r) => r.scrollingList.result, String],
  ["longest task over 50 ms", (r) => r.scrollingList.longest, longest],
  ["messages scroll: main thread", (r) => r.scrollingTimeline.task, milliseconds],
  [`frames dropped of ${frames}`, (r) => r.scrollingTimeline.result, String],
  ["longest task over 50 ms", (r) => r.scrollingTimeline.longest, longest],
];

/** The median of what f tells of each run; the higher one of two in the middle. */
function median(runs, f) {
  return runs.map(f).sort((a, b) => a - b)[Math.floor(runs.length / 2)];
}

const browser = await launchBrowser();
const results = {};
for (const n of options.conversations.split(",")) results[n] = await measure(browser, Number(n));
const all = Object.values(results);
console.log(`| conversations | ${Object.keys(results).join(" | ")} |`);
console.log(`| --- |${" ---: |".repeat(all.length)}`);
for (const [name, f, format] of lines)
  console.log(`| ${name} | ${all.map((runs) => format(median(runs, f))).join(" | ")} |`);
const size = await bundle();
const kB = (n) => (n / 1000).toFixed(1) + " kB";
console.log(`\ngzip: ${kB(size.first)} for the list, ${kB(size.conversation)} with a conversation, ${kB(size.all)} in all`); // prettier-ignore
if (options.json) await writeFile(options.json, JSON.stringify({ results, bundle: size }, null, 2));
await browser.close();
