// Draws the icons of the installed page from public/icon.svg, again after it has changed:
//
//   node scripts/icons.mjs
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const at = (name) => new URL(`../public/${name}`, import.meta.url);
const svg = await readFile(at("icon.svg"), "utf8");
const background = /<rect[^>]*fill="(#\w+)"/.exec(svg)[1];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage();

/** Systems cut a maskable icon into a shape: its mark is within the circle that is left. */
async function draw(name, size, isMaskable) {
  const mark = Math.round(size * (isMaskable ? 0.86 : 1));
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(
    `<body style="margin:0;display:grid;place-items:center;height:100vh;background:${isMaskable ? background : "transparent"}">` +
      svg.replace("<svg ", `<svg width="${mark}" height="${mark}" `),
  );
  await page.screenshot({ path: at(name).pathname, omitBackground: true });
}

await draw("icon-192.png", 192, false);
await draw("icon-512.png", 512, false);
await draw("icon-maskable-512.png", 512, true);
await draw("apple-touch-icon.png", 180, true);
await browser.close();
