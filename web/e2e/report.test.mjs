// The load tool's report, as the binary writes it, in a real browser.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { binary, launch, seriousFaults } from "./harness.mjs";

const samples = resolve(import.meta.dirname, "../../internal/bench/report/reporttest");
const sample = (name) => join(samples, `${name}.json`);
let browser, folder;

before(async () => {
  browser = await launch();
  folder = await mkdtemp(join(tmpdir(), "hikyaku-report-"));
});
after(async () => {
  await browser?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Has the binary write a page of reports. */
async function write(name, ...files) {
  const path = join(folder, `${name}.html`);
  await promisify(execFile)(binary, ["bench", "compare", ...files, "--report", path]);
  return path;
}

/** Opens a page, and hears everything that should not be. */
async function open(path, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 900 },
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on("pageerror", (e) => faults.push(e.message));
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && faults.push(m.text()));
  page.on("request", (r) => {
    if (!r.url().startsWith("file:") && !r.url().startsWith("data:")) faults.push(`it asks for ${r.url()}`);
  });
  await page.goto(`file://${path}`);
  await drawn(page);
  return { context, page, faults };
}

/** Waits until every chart has its plot. */
const drawn = (page) =>
  page.waitForFunction(() => {
    const charts = [...document.querySelectorAll("figure.chart")];
    return charts.length > 0 && charts.every((c) => c.querySelector("canvas"));
  });

/** How many pixels of each plot have the color of a line, or of heat: axes alone have none. */
const inked = (page) =>
  page.evaluate(() => {
    const style = getComputedStyle(document.documentElement);
    const tones = [0, 1, 2, 3, 4, 5].map((n) => parseInt(style.getPropertyValue(`--tone-${n}`).slice(1), 16));
    return [...document.querySelectorAll("figure.chart")].map((chart) => {
      const canvas = chart.querySelector("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const heat = chart.querySelector(".ramp") !== null;
      let n = 0;
      for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.subarray(i, i + 4);
        if (a === 255 && (heat ? b > r + 8 : tones.includes((r << 16) | (g << 8) | b))) n++;
      }
      return [chart.id, n];
    });
  });

const all = ["latency", "burst", "connections", "fanout", "reconnect", "soak"];

test("every plot of every scenario is drawn, in both themes, with no fault and no request", async () => {
  const path = await write("all", ...all.map(sample));
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, faults } = await open(path, { colorScheme });
    const plots = await inked(page);
    assert.ok(plots.length >= 30, `${plots.length} plots`);
    for (const [id, n] of plots) assert.ok(n > 100, `${id} has ${n} pixels of its lines, ${colorScheme}`);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = ground.match(/\d+/g).map(Number);
    assert.ok(colorScheme === "dark" ? red < 60 : red > 200, `${colorScheme}: ${ground}`);
    assert.deepEqual(await seriousFaults(page), [], colorScheme);
    assert.deepEqual(faults, []);
    await context.close();
  }
});

test("the verdict and the figures are those of the run", async () => {
  const run = JSON.parse(await readFile(sample("soak"), "utf8"));
  const { context, page, faults } = await open(await write("soak", sample("soak")));
  await page.getByText("Promises broken", { exact: true }).waitFor();
  for (const offender of run.offenders) await page.getByText(offender).waitFor();
  await page.getByText(run.notes[0]).waitFor();
  await page.getByText("121 MiB").first().waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("what is drawn can be looked at closely, chosen, and read as a table", async () => {
  const again = sample("latency-again");
  const { context, page, faults } = await open(
    await write("two", `one=${sample("latency")}`, `two=${again}`),
  );
  const chart = page.locator("#latency-over-rate");
  await page.getByRole("region", { name: "Comparison" }).getByText("43,159/s").waitFor();

  const picture = () => chart.locator("canvas").evaluate((c) => c.toDataURL());
  const p95 = await picture();
  await chart.getByRole("button", { name: "p50" }).click();
  assert.equal(await chart.getByRole("button", { name: "p50" }).getAttribute("aria-pressed"), "true");
  assert.notEqual(await picture(), p95);
  const both = await picture();
  await chart.getByRole("button", { name: "two" }).click();
  assert.notEqual(await picture(), both);

  await chart.locator(".u-over").scrollIntoViewIfNeeded();
  const box = await chart.locator(".u-over").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await chart.getByText(/^[\d,]+\/s$/).waitFor();

  await chart.getByText("Values as a table").click();
  const first = JSON.parse(await readFile(sample("latency"), "utf8")).steps[0];
  const row = chart.getByRole("row", { name: `${first.rate}/s` });
  assert.match(await row.innerText(), new RegExp(`${first.latency_ms.p95.toFixed(2)} ms`));
  assert.deepEqual(faults, []);
  await context.close();
});

test("the reader chooses the colors; paper is light, and has every plot", async () => {
  const { context, page } = await open(await write("print", sample("latency")), { colorScheme: "dark" });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "dark");
  await page.getByRole("button", { name: "Light colors" }).click();
  assert.equal(await theme(), "light");
  await page.getByRole("button", { name: "Dark colors" }).click();
  await page.evaluate(() => {
    addEventListener("beforeprint", () => {
      const plots = [...document.querySelectorAll(".uplot")];
      window.onPaper = [document.documentElement.dataset.theme, ...plots.map((p) => p.offsetWidth)];
    });
  });
  const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
  assert.ok(pdf.length > 50_000, `${pdf.length} bytes`);
  const [onPaper, ...widths] = await page.evaluate(() => window.onPaper);
  assert.equal(onPaper, "light");
  for (const w of widths) assert.ok(w > 600 && w < 690, `a plot is ${w} wide`);
  assert.equal(await theme(), "dark");
  await context.close();
});

test("a phone shows all of it without scrolling sideways", async () => {
  const { context, page, faults } = await open(
    await write("phone", ...all.map(sample), sample("latency-again")),
    {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    },
  );
  const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.deepEqual(widths, [390, 390]);
  const wide = await page.evaluate(
    () =>
      [...document.querySelectorAll("figure.chart canvas")].filter(
        (c) => c.getBoundingClientRect().right > innerWidth,
      ).length,
  );
  assert.equal(wide, 0);
  assert.deepEqual(await seriousFaults(page), []);
  // Turned on its side, the plots follow.
  const before = await page
    .locator(".uplot")
    .first()
    .evaluate((e) => e.offsetWidth);
  await page.setViewportSize({ width: 844, height: 390 });
  await page.waitForFunction((w) => document.querySelector(".uplot").offsetWidth > w + 300, before);
  assert.deepEqual(faults, []);
  await context.close();
});
