// What the page is loaded from, with a server and a cache made by the test.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { serveShell, type Build } from "./shell";

const root = "https://chat.example/below/";
const build = (version: string): Build => ({
  version,
  entry: `assets/main-${version}.js`,
  files: [`assets/main-${version}.js`, "assets/other.css"],
});

/** By name, what a cache has. */
let stored: Map<string, Map<string, Response>>;
let handlers: Record<string, (e: unknown) => void>;
/** The version that the server has, and how it answers. */
let served: string;
let answer: (url: string) => Response | Promise<Response>;
let requested: string[];
let routes: unknown[];

const href = (r: { url: string } | URL | string) =>
  typeof r === "object" && "url" in r ? r.url : r.toString();

function open(name: string) {
  const entries = stored.get(name) ?? new Map<string, Response>();
  stored.set(name, entries);
  return {
    match: async (r: { url: string } | string) => entries.get(href(r))?.clone(),
    put: async (r: URL, response: Response) => void entries.set(href(r), response),
    addAll: async (urls: Iterable<string>) => {
      for (const url of urls) {
        const response = await fetch(url);
        if (!response.ok) throw new TypeError("not found");
        entries.set(url, response);
      }
    },
  };
}

/** A worker of a version begins. */
function start(version: string) {
  handlers = {};
  const scope = {
    registration: { scope: root },
    caches: {
      open: async (name: string) => open(name),
      keys: async () => [...stored.keys()],
      delete: async (name: string) => stored.delete(name),
    },
    clients: { claim: async () => {} },
    skipWaiting: async () => {},
    addEventListener: (type: string, f: (e: unknown) => void) => (handlers[type] = f),
  };
  serveShell(scope as unknown as ServiceWorkerGlobalScope, build(version));
}

async function run(type: "install" | "activate") {
  let task: Promise<unknown> = Promise.resolve();
  const addRoutes = async (r: unknown) => void routes.push(r);
  handlers[type]!({ waitUntil: (p: Promise<unknown>) => (task = p), addRoutes });
  await task;
}

async function install(version: string) {
  start(version);
  await run("install");
  await run("activate");
}

/** What the worker answers; undefined when it leaves the request alone. */
function ask(path: string, mode = "cors", method = "GET"): Promise<Response> | undefined {
  let response: Promise<Response> | undefined;
  const request = { url: new URL(path, root).href, mode, method };
  handlers.fetch!({ request, respondWith: (r: Promise<Response>) => (response = r) });
  return response;
}
const load = async (path = "c/1") => (await ask(path, "navigate")!).text();
const kept = () => [...stored].map(([name, entries]) => [name, [...entries.keys()]]);

beforeEach(() => {
  stored = new Map();
  requested = [];
  routes = [];
  served = "a";
  answer = (url) =>
    url.includes("assets/")
      ? new Response("file", { status: url.includes(`main-${served}`) || url.endsWith(".css") ? 200 : 404 })
      : new Response(`page with assets/main-${served}.js`);
  vi.stubGlobal("fetch", async (r: { url: string } | URL | string) => {
    const url = href(r);
    requested.push(url);
    return answer(url);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the worker", () => {
  it("keeps the page and its files, and nothing else", async () => {
    await install("a");
    const page = [root + "assets/main-a.js", root + "assets/other.css", root];
    expect(kept()).toEqual([["hikyaku /below/ a", page]]);
    await load();
    await load("join/token");
    expect(kept()).toEqual([["hikyaku /below/ a", page]]);
  });

  it("leaves the API alone", async () => {
    await install("a");
    expect(ask("api/v1/me")).toBeUndefined();
    expect(ask("api/docs", "navigate")).toBeUndefined();
    expect(ask("https://chat.example/elsewhere", "navigate")).toBeUndefined();
    expect(ask("c/1", "navigate", "POST")).toBeUndefined();
    expect(routes).toEqual([{ condition: { urlPattern: { pathname: "/below/api/*" } }, source: "network" }]);
  });

  it("has the page from the server, and its files from the cache", async () => {
    await install("a");
    requested = [];
    served = "b";
    expect(await load()).toContain("main-b");
    await ask("assets/main-a.js");
    expect(requested).toEqual([root + "c/1"]);
    expect(ask("assets/main-b.js")).toBeUndefined();
  });

  it.each([
    ["there is no network", () => Promise.reject(new TypeError("offline"))],
    ["a proxy says that the server is away", () => new Response("", { status: 502 })],
  ])("shows the kept page when %s", async (_, f) => {
    await install("a");
    answer = f;
    expect(await load()).toContain("main-a");
    expect(await (await ask("assets/other.css"))!.text()).toBe("file");
  });

  it("shows the kept page when the server does not answer in time", async () => {
    await install("a");
    vi.useFakeTimers();
    answer = () => new Promise<Response>(() => {});
    const page = load();
    await vi.advanceTimersByTimeAsync(3000);
    expect(await page).toContain("main-a");
  });

  it("says what the server says while it has no page", async () => {
    start("a");
    answer = () => new Response("away", { status: 502 });
    expect(await load()).toBe("away");
  });

  it("replaces what an earlier version kept, and that alone", async () => {
    open("of something else");
    open("hikyaku /elsewhere/ a");
    await install("a");
    served = "b";
    await install("b");
    expect([...stored.keys()]).toEqual(["of something else", "hikyaku /elsewhere/ a", "hikyaku /below/ b"]);
  });

  it.each([
    ["of another version", (url: string) => new Response(url.endsWith(".css") ? "file" : "assets/main-z.js")],
    ["an error", () => new Response("assets/main-b.js", { status: 500 })],
  ])("is not installed when the server's page is %s", async (_, f) => {
    await install("a");
    start("b");
    answer = f;
    await expect(run("install")).rejects.toThrow("no page of this version");
    expect([...stored.keys()]).toContain("hikyaku /below/ a");
  });
});
