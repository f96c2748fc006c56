// Measures what the page costs with many conversations: `make bench-page`.
//
//   node e2e/measure.mjs [--conversations 10,300,1000] [--messages 50000] [--json FILE]
//
// For each number of conversations it starts a server on a private port and in a
// temporary folder, fills it, and opens the page in Chromium. What it tells is of the
// page's own process: how long its main thread worked (all of it, scripts, layout), how
// much processor time the process took, what is in its heap after a collection, how
// much memory it has for itself, the longest time for which nothing else could happen,
// and the frames that were not drawn in time.
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

async function measure(browser, n) {
  const server = await Server.start("--in-flight", "100000");
  const { me, conversations } = await makeConversations(server, n, Number(options.messages));
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
    // A page that is loaded again begins at 0, except for its process.
    const seconds = (k) => Math.round((after[k] < before[k] ? after[k] : after[k] - before[k]) * 1000);
    const memory = await probe.memory();
    return {
      shown, task: seconds("task"), script: seconds("script"), layout: seconds("layout"), processor: seconds("processor"),
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
        ([s, dy, count]) => {
          const e = window.scrollerIn(document.querySelector(s));
          return e ? window.eachFrame(count, () => e.scrollBy(0, dy)) : 0;
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
  await page
    .getByText(/^Message \d+ of 0/)
    .first()
    .waitFor();
  const scrollingTimeline = await scroll("[data-timeline]", -60);
  await context.close();
  await server.stop();
  return {
    conversations: n,
    opening,
    again,
    arrivingHere,
    arrivingElsewhere,
    switching,
    scrollingList,
    scrollingTimeline,
  };
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

const browser = await launchBrowser();
const results = [];
for (const n of options.conversations.split(",").map(Number)) {
  const r = await measure(browser, n);
  results.push(r);
  const mb = (b) => (b / 1e6).toFixed(1) + " MB";
  const work = (x) => `main thread ${round(x.task)} ms (scripts ${round(x.script)}, layout ${round(x.layout)}), processor ${round(x.processor)} ms, longest task ${x.longest} ms`; // prettier-ignore
  console.log(`${n} conversations, ${options.messages} messages`);
  console.log(`  opening: list shown after ${r.opening.shown} ms, ${work(r.opening)}`);
  console.log(
    `           heap ${mb(r.opening.heap)}, own memory ${mb(r.opening.own)}, ${r.opening.nodes} nodes`,
  );
  console.log(`  again: list shown after ${r.again.shown} ms, ${work(r.again)}`);
  console.log(`  arriving, each, in the open conversation: ${work(r.arrivingHere)}`);
  console.log(`  arriving, each, in others: ${work(r.arrivingElsewhere)}`);
  console.log(`  switching, each: ${work(r.switching)}`);
  console.log(`  scrolling the list: ${r.scrollingList.result} of ${frames} frames dropped, ${work(r.scrollingList)}`); // prettier-ignore
  console.log(`  scrolling messages: ${r.scrollingTimeline.result} of ${frames} frames dropped, ${work(r.scrollingTimeline)}`); // prettier-ignore
}
const size = await bundle();
const kB = (n) => (n / 1000).toFixed(1) + " kB";
console.log(`gzip: ${kB(size.first)} for the list, ${kB(size.conversation)} with a conversation, ${kB(size.all)} in all`); // prettier-ignore
if (options.json) await writeFile(options.json, JSON.stringify({ results, bundle: size }, null, 2));
await browser.close();

function round(ms) {
  return ms < 20 ? ms.toFixed(1) : Math.round(ms);
}
