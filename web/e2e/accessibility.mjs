// What people who do not see a page as its makers do need of it: axe's rules, room for large
// letters, and a tree that says what there is.
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";

const axe = await readFile(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** Returns descriptions of a page's accessibility violations: of all rules of axe. */
export async function accessibilityViolations(page) {
  // evaluate is not subject to the page's content security policy.
  const found = await page.evaluate(
    `(() => { if (!window.axe) { const module = undefined, define = undefined; ${axe}; }
      return window.axe.run(document, { resultTypes: ["violations"] }); })()`,
  );
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 200)).join(" | ")}`);
}

/** The widths and heights in which each screen is looked at: a desktop's, a phone's, and what
 * is left of 1280 by 1024 at 200 % and at 400 %. */
export const sizes = {
  desktop: { width: 1200, height: 800 },
  phone: { width: 390, height: 844 },
  "200%": { width: 640, height: 512 },
  "400%": { width: 320, height: 256 },
};

/** Returns what scrolls, or is cut off, sideways; code and tables of messages may, within
 * themselves. */
const tooWide = (page) =>
  page.evaluate(() => {
    const name = (e) => e.outerHTML.slice(0, 120);
    const found = [];
    if (document.scrollingElement.scrollWidth > innerWidth) found.push("the page");
    for (const e of document.querySelectorAll("body *")) {
      if (e.closest(".scroll, .sr-only, textarea")) continue;
      const { overflowX } = getComputedStyle(e);
      if (/auto|scroll/.test(overflowX) && e.scrollWidth > e.clientWidth + 1) found.push(name(e));
    }
    for (const e of document.querySelectorAll(
      "button, a, input, select, textarea, [role=option], [role=menuitem]",
    )) {
      const b = e.getBoundingClientRect();
      if (b.width === 0 || e.closest(".scroll, .sr-only")) continue;
      if (b.left < -1 || b.right > innerWidth + 1) found.push("outside: " + name(e));
    }
    return found;
  });

/** Asserts that nothing is found on a screen: in both themes on a desktop and on a phone, and
 * where the page is zoomed to 200 % and 400 %. The page keeps its size if it is a phone's. */
export async function assertAccessible(page, name) {
  const before = page.viewportSize();
  const own = before.width < 1000 ? { ...sizes, desktop: undefined, phone: before } : sizes;
  const theme = await page.evaluate(() => document.documentElement.dataset.theme);
  for (const [size, viewport] of Object.entries(own)) {
    if (!viewport) continue;
    await page.setViewportSize(viewport);
    await page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    assert.deepEqual(await tooWide(page), [], `${name}, ${size}: scrolls sideways`);
    for (const t of size.endsWith("%") ? ["light"] : ["light", "dark"]) {
      await page.evaluate((t) => (document.documentElement.dataset.theme = t), t);
      assert.deepEqual(await accessibilityViolations(page), [], `${name}, ${size}, ${t}`);
      if (process.env.SCREENS)
        await page.screenshot({ path: `${process.env.SCREENS}/${name}-${size.replace("%", "")}-${t}.png` });
    }
  }
  await page.setViewportSize(before);
  await page.evaluate((t) => (document.documentElement.dataset.theme = t), theme);
}

/** Roles that only hold other things together. */
const transparent = new Set([
  "generic",
  "none",
  "InlineTextBox",
  "LineBreak",
  "RootWebArea",
  "strong",
  "ListMarker",
]);
const shownProperties = ["level", "checked", "pressed", "expanded", "selected", "disabled", "required", "invalid", "hasPopup", "modal", "live"]; // prettier-ignore

/** Returns the accessibility tree that Chromium gives to screen readers, of the dialog where
 * one is open, as an outline: a line for each role with its name and state. What differs from run to run has a word instead. */
export async function accessibilityTree(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Accessibility.enable");
  const { nodes } = await cdp.send("Accessibility.getFullAXTree");
  await cdp.detach();
  const byId = new Map(nodes.map((n) => [n.nodeId, n]));
  const lines = [];
  const add = (id, depth, parentName) => {
    const n = byId.get(id);
    if (!n) return;
    const role = n.role?.value;
    const text = n.name?.value ?? "";
    const isShown =
      !n.ignored && !transparent.has(role) && !(role === "StaticText" && parentName.includes(text));
    if (isShown) {
      const state = (n.properties ?? [])
        .filter((p) => shownProperties.includes(p.name) && ![false, "false", "off"].includes(p.value.value))
        .map((p) => `${p.name}=${p.value.value}`);
      const described = n.description?.value;
      lines.push(
        "  ".repeat(depth) +
          [
            role,
            text && JSON.stringify(text),
            ...state,
            described && `description=${JSON.stringify(described)}`,
          ]
            .filter(Boolean)
            .join(" "),
      );
    }
    for (const child of n.childIds ?? [])
      add(child, isShown ? depth + 1 : depth, isShown ? text : parentName);
  };
  const dialog = nodes.find((n) => !n.ignored && n.role?.value === "dialog");
  add((dialog ?? nodes[0]).nodeId, 0, "");
  return (
    lines
      .join("\n")
      .replace(/http:\/\/127\.0\.0\.1:\d+/g, "http://HOST")
      .replace(/\b\d{1,2}:\d\d(\s?[AP]M)?/g, "TIME")
      .replace(/\b[A-Z][a-z]{2} \d{1,2}, \d{4}/g, "DATE")
      .replace(/\/(join|c)\/[\w-]+/g, "/$1/ID") + "\n"
  );
}

/** Asserts that a screen's accessibility tree is the one in e2e/trees; with TREES=renew it is
 * written there. */
export async function assertTree(page, name) {
  const folder = new URL("trees/", import.meta.url);
  const file = new URL(`${name}.txt`, folder);
  const tree = await accessibilityTree(page);
  if (process.env.TREES === "renew") {
    await mkdir(folder, { recursive: true });
    return writeFile(file, tree);
  }
  const before = await readFile(file, "utf8").catch(() => "");
  assert.equal(tree, before, `${name}: the accessibility tree has changed; TREES=renew writes it anew`);
}
