// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Problem, RestClient } from "../net/rest";
import { getWorkerNote } from "../sync/workernote";
import { useApp } from "./app";
import { answerServiceWorker, PushNotifications, usePush } from "./push";
import { navigate, useRoute } from "./route";

const key = "BCVxsr7N_eNgVRqvHtD0";

class FakeSubscription {
  ended = false;
  constructor(
    readonly endpoint: string,
    readonly options: { applicationServerKey: ArrayBuffer },
    private browser: FakeBrowser,
  ) {}
  toJSON() {
    return { endpoint: this.endpoint, keys: { p256dh: "point", auth: "secret" } };
  }
  async unsubscribe() {
    if (this.browser.unsubscribeFails) throw new DOMException("push service not available", "NetworkError");
    this.ended = true;
    this.browser.calls.push("unsubscribe");
    this.browser.subscription = null;
    return true;
  }
}

class FakeBrowser {
  calls: string[] = [];
  subscription: FakeSubscription | null = null;
  registration: object | undefined;
  shown: { tag: string; close(): void }[] = [];
  subscribeFails = false;
  unsubscribeFails = false;
  /** The worker while it is being installed; without it there is an active one. */
  installing: (EventTarget & { state: string }) | undefined;
  listener: (e: unknown) => void = () => {};
  activate = () => {};
  private count = 0;

  pushManager = {
    getSubscription: async () => this.subscription,
    subscribe: async (o: { userVisibleOnly: boolean; applicationServerKey: Uint8Array<ArrayBuffer> }) => {
      this.calls.push("subscribe");
      if (this.subscribeFails) throw new DOMException("push service not available", "AbortError");
      expect(o.userVisibleOnly).toBe(true);
      const options = { applicationServerKey: o.applicationServerKey.slice().buffer };
      return (this.subscription = new FakeSubscription(
        "https://push.example/" + ++this.count,
        options,
        this,
      ));
    },
  };
  container = {
    register: async (url: URL) => {
      this.calls.push("register " + url.pathname);
      this.registration = {
        active: this.installing ? null : {},
        waiting: null,
        installing: this.installing ?? null,
        pushManager: this.pushManager,
        getNotifications: async (f?: { tag: string }) => this.shown.filter((n) => !f || n.tag === f.tag),
      };
      if (!this.installing) this.activate();
      return this.registration;
    },
    getRegistration: async () => this.registration,
    ready: new Promise<object>((done) => (this.activate = () => done(this.registration!))),
    addEventListener: (_: string, f: (e: unknown) => void) => (this.listener = f),
  };

  show(tag: string) {
    const n = { tag, close: () => void (this.shown = this.shown.filter((x) => x !== n)) };
    this.shown.push(n);
  }
}

let browser: FakeBrowser;
let push: PushNotifications;
let requests: string[];
/** For which accounts subscriptions were registered and deleted. */
let accounts: Set<string | null>;
let server: (method: string, path: string, body: unknown) => Response | Promise<Response>;
let notification: { permission: string; requestPermission(): Promise<string> };

const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
const defaultAnswer = (method: string) =>
  method === "GET" ? json(200, { public_key: key }) : new Response(null, { status: 204 });

function answerPermission(answer: string) {
  notification.requestPermission = async () => (notification.permission = answer);
}

beforeEach(() => {
  localStorage.clear();
  usePush.setState({ state: "hidden" });
  browser = new FakeBrowser();
  push = new PushNotifications(new RestClient());
  requests = [];
  accounts = new Set();
  server = defaultAnswer;
  notification = { permission: "default", requestPermission: async () => "default" };
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("PushManager", class {});
  vi.stubGlobal("Notification", notification);
  Object.defineProperty(navigator, "serviceWorker", { value: browser.container, configurable: true });
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    const body = init.body ? JSON.parse(init.body as string) : undefined;
    requests.push(`${init.method} ${path}` + (body ? " " + body.endpoint : ""));
    if (body) accounts.add(new Headers(init.headers).get("Hikyaku-Account"));
    return server(init.method!, path, body);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  Reflect.deleteProperty(navigator, "serviceWorker");
});

const state = () => usePush.getState().state;

async function enabled(user = "aki") {
  answerPermission("granted");
  await push.enable(user);
  expect(state()).toBe("on");
  requests = [];
  browser.calls = [];
}

describe("refreshState", () => {
  it("hides the switch where the installation does not push", async () => {
    server = () => json(404, { code: "not_found" });
    await push.refreshState("aki");
    expect(state()).toBe("hidden");
  });

  it("reports that the browser does not support it", async () => {
    vi.unstubAllGlobals();
    vi.stubGlobal("fetch", async () => defaultAnswer("GET"));
    await push.refreshState("aki");
    expect(state()).toBe("unsupported");
    await push.resume("aki");
    await push.suspend();
    expect(browser.calls).toEqual([]);
  });

  it("reports off, on, and denied", async () => {
    await push.refreshState("aki");
    expect(state()).toBe("off");
    await enabled();
    usePush.setState({ state: "hidden" });
    await push.refreshState("aki");
    expect(state()).toBe("on");
    await push.refreshState("ben");
    expect(state()).toBe("off");
    notification.permission = "denied";
    await push.refreshState("aki");
    expect(state()).toBe("denied");
  });
});

describe("enable", () => {
  it("registers the worker, subscribes with the installation's key and registers the subscription", async () => {
    answerPermission("granted");
    let registered: unknown;
    server = (method, _, body) => {
      if (method === "PUT") registered = body;
      return defaultAnswer(method);
    };
    await push.enable("aki");
    expect(browser.calls).toEqual(["register /sw.js", "subscribe"]);
    expect(await getWorkerNote()).toEqual({
      account: "aki",
      words: {
        reply: "Reply",
        notSent: "Not sent yet. Open Hikyaku to see what became of it.",
        notKept: "Not sent, and not saved. This is what you wrote:",
      },
    });
    const used = new Uint8Array(browser.subscription!.options.applicationServerKey);
    expect(Buffer.from(used).toString("base64url")).toBe(key);
    expect(requests).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/1"]);
    expect(registered).toEqual({
      endpoint: "https://push.example/1",
      keys: { p256dh: "point", auth: "secret" },
    });
    expect(state()).toBe("on");
  });

  it("requests the permission first, as browsers demand a click", () => {
    const ask = vi.fn(async () => "default");
    notification.requestPermission = ask;
    void push.enable("aki");
    expect(ask).toHaveBeenCalledOnce();
    expect(requests).toEqual([]);
  });

  it.each([
    ["denied", "denied"],
    ["default", "off"],
  ])("does nothing when the answer is %s", async (answer, shown) => {
    answerPermission(answer);
    await push.enable("aki");
    expect(state()).toBe(shown);
    expect([...requests, ...browser.calls]).toEqual([]);
  });

  it("reports why the browser could not subscribe", async () => {
    answerPermission("granted");
    browser.subscribeFails = true;
    await expect(push.enable("aki")).rejects.toMatchObject({
      code: "push",
      message: "push service not available",
    });
    expect(state()).toBe("hidden");
    await push.resume("aki");
    expect(requests.filter((a) => a.startsWith("PUT"))).toEqual([]);
  });

  it("reports that the worker could not be installed, and holds up nothing after it", async () => {
    answerPermission("granted");
    const worker = (browser.installing = Object.assign(new EventTarget(), { state: "installing" }));
    const enabling = push.enable("aki");
    const failed = expect(enabling).rejects.toMatchObject({ code: "push" });
    await vi.waitFor(() => expect(browser.calls).toEqual(["register /sw.js"]), { timeout: 30_000 });
    worker.state = "redundant";
    worker.dispatchEvent(new Event("statechange"));
    await failed;
    await push.disable("aki");
    expect(state()).toBe("off");
  });

  it("waits for the worker's installation", async () => {
    answerPermission("granted");
    const worker = (browser.installing = Object.assign(new EventTarget(), { state: "installing" }));
    const enabling = push.enable("aki");
    await vi.waitFor(() => expect(browser.calls).toEqual(["register /sw.js"]), { timeout: 30_000 });
    worker.state = "activated";
    worker.dispatchEvent(new Event("statechange"));
    browser.activate();
    await enabling;
    expect(state()).toBe("on");
  });

  it("leaves no subscription that the server does not know", async () => {
    answerPermission("granted");
    server = (method) => (method === "PUT" ? json(429, { code: "rate_limited" }) : defaultAnswer(method));
    await expect(push.enable("aki")).rejects.toBeInstanceOf(Problem);
    expect(browser.subscription).toBeNull();
    await push.refreshState("aki");
    expect(state()).toBe("off");
  });
});

describe("disable", () => {
  it("deletes the subscription on the server and in the browser, and closes notifications", async () => {
    await enabled();
    browser.show("c1");
    await push.disable("aki");
    expect(requests).toEqual(["DELETE /api/v1/push/subscription https://push.example/1"]);
    expect([...accounts]).toEqual(["aki"]);
    expect(browser.calls).toEqual(["unsubscribe"]);
    expect(browser.shown).toEqual([]);
    expect(state()).toBe("off");
    await push.resume("aki");
    expect(browser.subscription).toBeNull();
  });

  it("unsubscribes even when the server cannot be reached", async () => {
    await enabled();
    server = () => {
      throw new TypeError("offline");
    };
    await push.disable("aki");
    expect(browser.subscription).toBeNull();
    expect(state()).toBe("off");
  });

  it("has the worker silent before the server answers", async () => {
    await enabled();
    browser.show("c1");
    let release = () => {};
    server = async (method) => {
      await new Promise<void>((done) => (release = done));
      return defaultAnswer(method);
    };
    const off = push.disable("aki");
    await vi.waitFor(() => expect(requests).toHaveLength(1), { timeout: 30_000 });
    expect(browser.shown).toEqual([]);
    expect(await getWorkerNote()).toBeUndefined();
    browser.show("c2"); // pushed meanwhile
    release();
    await off;
    expect(browser.shown).toEqual([]);
  });

  it("has the worker silent while an earlier task waits for the server", async () => {
    await enabled();
    browser.show("c1");
    let release = () => {};
    server = async (method) => {
      if (method === "GET") await new Promise<void>((done) => (release = done));
      return defaultAnswer(method);
    };
    const resuming = push.resume("aki");
    await vi.waitFor(() => expect(requests).toEqual(["GET /api/v1/push"]), { timeout: 30_000 });
    const off = push.disable("aki");
    await vi.waitFor(() => expect(browser.shown).toEqual([]), { timeout: 30_000 });
    expect(await getWorkerNote()).toBeUndefined();
    release();
    await Promise.all([resuming, off]);
    expect(await getWorkerNote()).toBeUndefined();
  });

  it("has the worker silent when the browser cannot unsubscribe", async () => {
    await enabled();
    browser.show("c1");
    browser.unsubscribeFails = true;
    await expect(push.disable("aki")).rejects.toThrow("push service not available");
    expect(browser.shown).toEqual([]);
    expect(await getWorkerNote()).toBeUndefined();
  });

  it("finds a subscription that is still being made", async () => {
    await enabled();
    await push.suspend();
    let release = () => {};
    server = async (method) => {
      if (method === "GET") await new Promise<void>((done) => (release = done));
      return defaultAnswer(method);
    };
    const making = push.resume("aki");
    await vi.waitFor(() => expect(requests).toEqual(["GET /api/v1/push"]), { timeout: 30_000 });
    const off = push.disable("aki");
    release();
    await Promise.all([making, off]);
    expect(requests.at(-1)).toBe("DELETE /api/v1/push/subscription https://push.example/2");
    expect(browser.subscription).toBeNull();
  });
});

describe("resume and suspend", () => {
  it("continues for the same user after an expired session", async () => {
    await enabled();
    await push.suspend();
    expect(browser.subscription).toBeNull();
    expect(requests).toEqual([]);
    await push.resume("aki");
    expect(requests).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/2"]);
  });

  it("ends for another user", async () => {
    await enabled();
    browser.show("c1");
    await push.resume("ben");
    expect(browser.calls).toEqual(["unsubscribe"]);
    expect(browser.shown).toEqual([]);
    expect(requests).toEqual([]);
  });

  it("keeps the subscription and registers it again", async () => {
    await enabled();
    await push.resume("aki");
    expect(browser.calls).toEqual(["register /sw.js"]);
    expect(requests).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/1"]);
    server = () => json(503, { code: "unavailable" });
    await expect(push.resume("aki")).rejects.toBeInstanceOf(Problem);
    expect(browser.subscription).not.toBeNull();
  });

  it("subscribes again when the installation has new keys", async () => {
    await enabled();
    server = (method) => (method === "GET" ? json(200, { public_key: "AAAA" }) : defaultAnswer(method));
    await push.resume("aki");
    expect(browser.calls).toEqual(["register /sw.js", "unsubscribe", "subscribe"]);
    expect(requests.at(-1)).toBe("PUT /api/v1/push/subscription https://push.example/2");
  });

  it("does not request a permission that was revoked", async () => {
    await enabled();
    notification.permission = "default";
    await push.resume("aki");
    expect(browser.calls).toEqual(["unsubscribe"]);
  });
});

it("closes the notifications of the conversation in view", async () => {
  await enabled();
  browser.show("c1");
  browser.show("c2");
  await push.closeNotifications("c1");
  expect(browser.shown.map((n) => n.tag)).toEqual(["c2"]);
});

it("answers the service worker, and opens the conversation that it names", () => {
  answerServiceWorker();
  const ask = (data: unknown) => {
    let answer: unknown;
    browser.listener({ data, ports: [{ postMessage: (a: unknown) => (answer = a) }] });
    return answer;
  };
  navigate("/c/c1");
  expect(ask({ type: "where" })).toEqual({ conversation: null }); // nobody is logged in
  useApp.setState({ me: { id: "aki" } as never });
  expect(ask({ type: "where" })).toEqual({ conversation: "c1" });
  ask({ type: "open", conversation: "c2" });
  expect(useRoute.getState().conversation).toBe("c2");
  expect(location.pathname).toBe("/c/c2");
});
