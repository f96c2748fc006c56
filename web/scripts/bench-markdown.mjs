// Measures how long messages that are made to be slow take to show: parsed,
// sanitised and laid out in Chromium.
//
//   node scripts/bench-markdown.mjs [seconds of searching] [seed]
import { chromium } from "playwright-core";
import { createServer } from "vite";

const [seconds = 20, seed = 1] = process.argv.slice(2).map(Number);
const vite = await createServer({ server: { port: 0, host: "127.0.0.1", proxy: {} }, logLevel: "error" });
await vite.listen();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  const page = await browser.newPage();
  const url = vite.resolvedUrls.local[0];
  await page.route(url + "bench", (r) => r.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
  await page.goto(url + "bench");
  const slowest = await page.evaluate(measure, { seconds, seed });
  for (const { ms, elements, kind, text } of slowest)
    console.log(
      `${ms.toFixed(1).padStart(8)} ms ${String(elements).padStart(6)} elements  ${kind}  ${JSON.stringify(text)}`,
    );
} finally {
  await browser.close();
  await vite.close();
}

async function measure({ seconds, seed }) {
  const { renderMarkdown } = await import("/src/text/markdown.ts");
  const { knownTexts, randomTexts } = await import("/src/text/slowtexts.ts");
  await import("/src/app.css");
  const box = document.body.appendChild(document.createElement("div"));
  box.className = "markdown";
  box.style.width = "700px";
  const show = (text) => {
    const start = performance.now();
    box.innerHTML = renderMarkdown(text);
    void box.offsetHeight;
    const ms = performance.now() - start;
    const elements = box.querySelectorAll("*").length;
    box.textContent = "";
    void box.offsetHeight;
    return { ms, elements };
  };
  const next = randomTexts(seed);
  for (let i = 0; i < 50; i++) show(next()); // compiles the code
  const results = knownTexts.map((text) => ({ kind: "known ", ...show(text), text: text.slice(0, 50) }));
  let count = 0;
  for (const end = performance.now() + seconds * 1000; performance.now() < end; count++) {
    const text = next();
    let result = show(text);
    if (result.ms > 20) {
      // Once more, as a first sight of characters loads their fonts.
      const again = show(text + " ");
      if (again.ms < result.ms) result = again;
    }
    results.push({ kind: "random", ...result, text: text.slice(0, 50) });
  }
  results.sort((a, b) => b.ms - a.ms);
  results.length = 30;
  results.push({ kind: `of ${count} random ones`, ms: 0, elements: 0, text: "" });
  return results;
}
