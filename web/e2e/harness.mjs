// A real server and a real Chromium for each test file.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

export const binary = process.env.HIKYAKU_BIN ?? resolve(import.meta.dirname, "../../bin/hikyaku");
// The server takes its settings from HIKYAKU_… too, and refuses those that it
// does not know; the tests' own must not reach it.
const cleanEnv = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith("HIKYAKU_")));
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** A port that is free now. */
async function freePort() {
  return new Promise((done, fail) => {
    const s = createServer();
    s.on("error", fail);
    s.listen(0, "127.0.0.1", () => {
      const { port } = s.address();
      s.close(() => done(port));
    });
  });
}

export class Server {
  static async start(...flags) {
    const s = new Server();
    s.data = await mkdtemp(join(tmpdir(), "hikyaku-e2e-"));
    s.port = await freePort();
    s.flags = flags;
    s.url = `http://127.0.0.1:${s.port}`;
    await s.run();
    return s;
  }

  async run() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, "--hash-memory", "64", "--rate", "100000", "--burst", "100000", "--log-level", "error", ...this.flags]; // prettier-ignore
    this.process = spawn(binary, args, { env: cleanEnv, stdio: ["ignore", "pipe", "inherit"] });
    this.exited = new Promise((done) => this.process.on("exit", done));
    await new Promise((done, fail) => {
      this.process.stdout.on("data", (b) => String(b).includes("is ready") && done());
      this.process.on("error", fail);
      this.process.on("exit", (code) => fail(new Error(`the server ended with ${code}`)));
    });
  }

  /** Ends the process as a power cut would. */
  async kill() {
    this.process.removeAllListeners("exit");
    const gone = new Promise((done) => this.process.on("exit", done));
    this.process.kill("SIGKILL");
    await gone;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  /** Calls the API as a program does. */
  async api(token, method, path, body) {
    const r = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await r.text();
    if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** An account of a program's. */
  async account(name) {
    const g = await this.api("", "POST", "/register", { name, password: "12345678" });
    return { ...g.user, token: g.token };
  }
}

/** The whole cluster behind nginx, as make stack runs it. */
export class Cluster extends Server {
  static async start() {
    const s = new Cluster();
    const settings = ["HIKYAKU_HASH_MEMORY=64", "HIKYAKU_RATE=100000", "HIKYAKU_BURST=100000"];
    const args = ["stack", "--port", "0", ...settings.flatMap((v) => ["--set", v])];
    s.process = spawn(binary, args, { env: cleanEnv, stdio: ["ignore", "pipe", "inherit"] });
    s.exited = new Promise((done) => s.process.on("exit", done));
    s.url = await new Promise((done, fail) => {
      let said = "";
      s.process.stdout.on("data", (b) => {
        said += b;
        const found = /open (http:\S+)/.exec(said);
        if (found) done(found[1]);
      });
      s.process.on("error", fail);
      s.process.on("exit", (code) => fail(new Error(`the cluster ended with ${code}: ${said}`)));
    });
    return s;
  }

  async stop() {
    this.process.kill("SIGTERM");
    return this.exited;
  }
}

export async function launch() {
  return chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"], // prettier-ignore
  });
}

/** A person at a browser of their own, registered and at the list. */
export async function person(browser, server, name, options = {}) {
  const context = await browser.newContext({
    locale: "en-US",
    reducedMotion: "reduce",
    viewport: { width: 1200, height: 800 },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on("pageerror", (e) => faults.push(e.message));
  await page.goto(server.url);
  const create = page.getByRole("button", { name: "Create account" });
  if (
    !(await page
      .getByLabel("Display name")
      .isVisible()
      .catch(() => false))
  )
    await create.first().click();
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password").fill("correct horse");
  await page.locator("form").getByRole("button", { name: "Create account" }).click();
  await page.getByRole("navigation", { name: "Conversations" }).waitFor();
  return { context, page, name, faults };
}

/** Opens a direct conversation by finding the other person. */
export async function message(page, name) {
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("menuitem", { name: "Message someone" }).click();
  await page.getByLabel("Search people by name").fill(name);
  await page.getByRole("button", { name: new RegExp(`@${name}`) }).click();
  await composer(page).waitFor();
}

export const composer = (page) => page.getByRole("textbox", { name: /^Message / });

export async function say(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

export const bubble = (page, text) => page.getByRole("article").filter({ hasText: text });

const axe = await readFile(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** The serious accessibility faults of what a page shows now, in words. */
export async function seriousFaults(page) {
  // The script is given by the test, past the page's own rules for scripts.
  const found = await page.evaluate(
    `(() => { const module = undefined, define = undefined; ${axe}; return axe.run(document, {resultTypes: ["violations"]}); })()`,
  );
  return found.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 200)).join(" | ")}`);
}
