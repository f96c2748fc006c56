// The report of the load tool, in a real browser.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { accessibilityViolations } from "./accessibility.mjs";
import { launchBrowser, newPage, run } from "./harness.mjs";

const samples = resolve(import.meta.dirname, "../../internal/bench/report/reporttest");
const sample = (name) => join(samples, `${name}.json`);
let browser, folder;

before(async () => {
  browser = await launchBrowser();
  folder = await mkdtemp(join(tmpdir(), "hikyaku-report-"));
});
after(async () => {
  await browser?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Writes the report of some runs. */
async function writeReport(name, ...files) {
  const path = join(folder, `${name}.html`);
  await run("bench", "compare", ...files, "--report", path);
  return path;
}

/** Opens a report, and collects its errors, its warnings and its requests. */
async function openReport(path, options = {}) {
  const viewport = { width: 1200, height: 900 };
  const { context, page, errors } = await newPage(browser, { viewport, ...options });
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && errors.push(m.text()));
  page.on("request", (r) => {
    if (!r.url().startsWith("file:") && !r.url().startsWith("data:")) errors.push(`a request for ${r.url()}`);
  });
  await page.goto(`file://${path}`);
  await waitForPlots(page);
  return { context, page, errors };
}

/** Waits until every chart has its plot. */
const waitForPlots = (page) =>
  page.waitForFunction(() => {
    const charts = [...document.querySelectorAll("figure.chart")];
    return charts.length > 0 && charts.every((c) => c.querySelector("canvas"));
  });

/** Counts the pixels of each plot that have the color of a line or of a heat map; axes have none. */
const countPlotPixels = (page) =>
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

const all = ["latency-cost", "burst", "connections", "fanout", "reconnect", "soak"];

test("every plot of every scenario is drawn, in both themes, without errors and requests", async () => {
  const path = await writeReport("all", ...all.map(sample));
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, errors } = await openReport(path, { colorScheme });
    const plots = await countPlotPixels(page);
    assert.ok(plots.length >= 30, `${plots.length} plots`);
    for (const [id, n] of plots) assert.ok(n > 100, `${id} has ${n} pixels of its lines, ${colorScheme}`);
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = background.match(/\d+/g).map(Number);
    assert.ok(colorScheme === "dark" ? red < 60 : red > 200, `${colorScheme}: ${background}`);
    assert.deepEqual(await accessibilityViolations(page), [], colorScheme);
    assert.deepEqual(errors, []);
    await context.close();
  }
});

test("the verdict and the figures are those of the run", async () => {
  const run = JSON.parse(await readFile(sample("soak"), "utf8"));
  const { context, page, errors } = await openReport(await writeReport("soak", sample("soak")));
  await page.getByText("Promises broken", { exact: true }).waitFor();
  for (const offender of run.offenders) await page.getByText(offender).waitFor();
  await page.getByText(run.notes[0]).waitFor();
  await page.getByText("121 MiB").first().waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test("a chart shows values, selects lines, and has a table", async () => {
  const again = sample("latency-again");
  const { context, page, errors } = await openReport(
    await writeReport("two", `one=${sample("latency")}`, `two=${again}`),
  );
  const chart = page.locator("#latency-over-rate");
  await page.getByRole("group", { name: "Comparison" }).getByText("43,159/s").waitFor();

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
  assert.deepEqual(errors, []);
  await context.close();
});

test("the reader selects the theme; print is light, with every plot", async () => {
  const { context, page } = await openReport(await writeReport("print", sample("latency")), {
    colorScheme: "dark",
  });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "dark");
  await page.getByRole("button", { name: "Light colors" }).click();
  assert.equal(await theme(), "light");
  await page.getByRole("button", { name: "Dark colors" }).click();
  await page.evaluate(() => {
    addEventListener("beforeprint", () => {
      const plots = [...document.querySelectorAll(".uplot")];
      window.printed = [document.documentElement.dataset.theme, ...plots.map((p) => p.offsetWidth)];
    });
  });
  const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
  assert.ok(pdf.length > 50_000, `${pdf.length} bytes`);
  const [printTheme, ...widths] = await page.evaluate(() => window.printed);
  assert.equal(printTheme, "light");
  for (const w of widths) assert.ok(w > 600 && w < 690, `a plot is ${w} wide`);
  assert.equal(await theme(), "dark");
  await context.close();
});

test("a phone shows everything without horizontal scrolling", async () => {
  const { context, page, errors } = await openReport(
    await writeReport("phone", ...all.map(sample), sample("latency-again")),
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
  assert.deepEqual(await accessibilityViolations(page), []);
  // The plots resize when the phone is turned.
  const before = await page
    .locator(".uplot")
    .first()
    .evaluate((e) => e.offsetWidth);
  await page.setViewportSize({ width: 844, height: 390 });
  await page.waitForFunction((w) => document.querySelector(".uplot").offsetWidth > w + 300, before);
  assert.deepEqual(errors, []);
  await context.close();
});
