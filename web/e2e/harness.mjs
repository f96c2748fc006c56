// A real server and a real Chromium for each test file.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, afterEach, before } from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const binary = process.env.HIKYAKU_BIN ?? resolve(import.meta.dirname, "../../bin/hikyaku");
// The server reads settings from the environment too, and refuses unknown ones;
// those of the tests must not reach it.
const cleanEnv = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith("HIKYAKU_")));
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** How long to wait for a condition, in milliseconds: long enough for a machine
 * that is busy with other work. Only a condition that never holds takes so long. */
export const timeout = 20_000;

/** Waits until a condition holds. */
export async function waitUntil(condition, description) {
  const deadline = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${description}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Servers end with the process of their tests, even if it runs out of time.
const processes = new Set();
process.on("exit", () => processes.forEach((p) => p.kill("SIGTERM")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Starts the binary, and returns the process and the first match of a pattern in its output. */
async function start(args, pattern) {
  const child = spawn(binary, args, { env: cleanEnv, stdio: ["ignore", "pipe", "pipe"] });
  child.log = "";
  child.stderr.on("data", (data) => {
    child.log += data;
    process.stderr.write(data);
  });
  processes.add(child);
  const exited = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
  void exited.then(() => processes.delete(child));
  let output = "";
  const match = await new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => {
      output += data;
      const found = pattern.exec(output);
      if (found) resolve(found);
    });
    child.on("error", reject);
    void exited.then((code) => reject(new Error(`${args[0]} ended with ${code}: ${output}`)));
  });
  return { child, exited, match };
}

/** Runs the binary until it ends. */
export const run = (...args) => promisify(execFile)(binary, args, { env: cleanEnv });

/** Those that useBrowser ends. */
const servers = new Set();

export class Server {
  static async start(...flags) {
    const s = new Server();
    servers.add(s);
    s.data = await mkdtemp(join(tmpdir(), "hikyaku-e2e-"));
    s.flags = flags;
    s.port = 0;
    await s.run();
    return s;
  }

  /** Starts the process; again on the same port after kill. */
  async run() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, "--hash-memory", "64", "--rate", "100000", "--burst", "100000", "--registrations", "100000", "--log-level", "error", ...this.flags]; // prettier-ignore
    const { child, exited, match } = await start(args, /is ready: open (http:\S+)\n/);
    this.process = child;
    this.exited = exited;
    this.readAddress(match[1]);
    this.port = Number(new URL(this.url).port);
  }

  /** Takes what it says is to be opened: the page, or where its first account is made. */
  readAddress(address) {
    this.url = address.replace(/(\/register#.*|\/)$/, "");
    this.setupToken = new URL(address).hash.slice(1);
  }

  /** Returns the token that makes the first account, once; "" afterwards. */
  takeSetupToken() {
    const { setupToken } = this;
    this.setupToken = "";
    return setupToken;
  }

  /** What the process has logged. */
  get log() {
    return this.process.log;
  }

  /** Ends the process as a power failure would. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  async stop() {
    servers.delete(this);
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  /** Calls the REST API. */
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

  /** Registers an account that uses the REST API. */
  async registerAccount(name) {
    const invitation = this.takeSetupToken();
    const g = await this.api("", "POST", "/register", {
      name,
      password: "correct horse",
      ...(invitation && { invitation }),
    });
    return { ...g.user, token: g.token };
  }
}

/** A real nginx. */
export class Nginx {
  /** Starts it with what make returns for its port as the content of the http block. */
  static async start(make) {
    const n = new Nginx();
    servers.add(n);
    n.folder = await mkdtemp(join(tmpdir(), "hikyaku-nginx-"));
    n.port = await freePort();
    n.url = `http://127.0.0.1:${n.port}`;
    await n.configure(make(n.port));
    n.process = spawn("nginx", ["-p", n.folder, "-c", "nginx.conf", "-g", "daemon off;"], {
      stdio: "inherit",
    });
    processes.add(n.process);
    n.exited = new Promise((resolve) => n.process.on("exit", resolve));
    const answers = () =>
      fetch(n.url).then(
        () => true,
        () => false,
      );
    await waitUntil(answers, "nginx answers");
    return n;
  }

  async configure(http) {
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((k) => `${k}_temp_path ${this.folder}/${k};`); // prettier-ignore
    const conf = `pid ${this.folder}/pid; error_log stderr crit; events {} http { access_log off; ${paths.join(" ")}\n${http}\n}`;
    await writeFile(join(this.folder, "nginx.conf"), conf);
  }

  /** Goes on with another content of the http block. */
  async reload(http) {
    await this.configure(http);
    this.process.kill("SIGHUP");
  }

  async stop() {
    servers.delete(this);
    this.process.kill("SIGTERM");
    await this.exited;
    processes.delete(this.process);
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The whole cluster behind nginx, as make stack runs it. */
export class Cluster extends Server {
  static async start() {
    const s = new Cluster();
    const settings = [
      "HIKYAKU_HASH_MEMORY=64",
      "HIKYAKU_RATE=100000",
      "HIKYAKU_BURST=100000",
      "HIKYAKU_REGISTRATIONS=100000",
    ];
    const args = ["stack", "--port", "0", ...settings.flatMap((v) => ["--set", v])];
    const { child, exited, match } = await start(args, /open (http:\S+)/);
    s.process = child;
    s.exited = exited;
    s.readAddress(match[1]);
    return s;
  }

  /** Stops the cluster, and returns its exit code. */
  async stop() {
    this.process.kill("SIGTERM");
    return this.exited;
  }
}

/** The browser of the tests of a file that calls useBrowser. */
export let browser;

/** Gives the tests of a file a browser. The pages and servers of each test end with it. */
export function useBrowser() {
  before(async () => {
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    for (const s of [...servers]) await s.stop();
  });
}

export async function launchBrowser() {
  return chromium.launch({
    executablePath: browserPath,
    timeout,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"], // prettier-ignore
  });
}

/** Opens a page in a browser context of its own, and collects the errors that it throws. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({
    locale: "en-US",
    reducedMotion: "reduce",
    viewport: { width: 1200, height: 800 },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(timeout);
  const errors = [];
  page.on("pageerror", (e) => errors.push(e.message));
  return { context, page, errors };
}

/** Registers a user in a browser context of their own, up to the list of conversations. */
export async function signUp(browser, server, name, options = {}) {
  const { context, page, errors } = await newPage(browser, options);
  const setupToken = server.takeSetupToken?.() ?? "";
  await page.goto(setupToken ? `${server.url}/register#${setupToken}` : server.url);
  await page.locator("form").waitFor();
  // The first account of an installation gets the form at once.
  const create = page.getByRole("button", { name: "Create account" });
  if (!(await page.getByLabel("Display name").isVisible())) await create.click();
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password").fill("correct horse");
  await page.locator("form").getByRole("button", { name: "Create account" }).click();
  await page.getByRole("navigation", { name: "Conversations" }).waitFor();
  return { context, page, name, errors };
}

/** Opens a direct conversation by searching for the other user. */
export async function openDirectConversation(page, name) {
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("menuitem", { name: "Message someone" }).click();
  await page.getByLabel("Search people by name").fill(name);
  await page.getByRole("button", { name: new RegExp(`@${name}`) }).click();
  await composer(page).waitFor();
}

export const composer = (page) => page.getByRole("textbox", { name: /^Message / });

export async function sendMessage(page, text) {
  await composer(page).fill(text);
  // On a touch screen Enter makes a new line.
  if ((await composer(page).getAttribute("enterkeyhint")) === "send") await composer(page).press("Enter");
  else await page.getByRole("button", { name: "Send", exact: true }).click();
}

/** The messages of the timeline that contain a text. */
export const messageWith = (page, text) => page.getByRole("article").filter({ hasText: text });

/** A UUIDv7 as the id of a message, the n-th of a test. */
export function messageId(n) {
  const ms = Date.now().toString(16).padStart(12, "0");
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${n.toString(16).padStart(12, "0")}`;
}

/** Takes pictures of a page in both themes, if the tests are to: SCREENS names the folder. */
export async function picture(page, name) {
  if (!process.env.SCREENS) return;
  const before = await page.evaluate(() => document.documentElement.dataset.theme);
  for (const theme of ["light", "dark"]) {
    await page.evaluate((t) => (document.documentElement.dataset.theme = t), theme);
    await page.screenshot({ path: `${process.env.SCREENS}/${name}-${theme}.png` });
  }
  await page.evaluate((t) => (document.documentElement.dataset.theme = t), before);
}
