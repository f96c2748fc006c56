import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Problem, RestClient } from "../net/rest";
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
    this.ended = true;
    this.browser.did.push("unsubscribe");
    this.browser.subscription = null;
    return true;
  }
}

class FakeBrowser {
  did: string[] = [];
  subscription: FakeSubscription | null = null;
  registration: object | undefined;
  shown: { tag: string; close(): void }[] = [];
  refuses = false;
  listener: (e: unknown) => void = () => {};
  private count = 0;

  pushManager = {
    getSubscription: async () => this.subscription,
    subscribe: async (o: { userVisibleOnly: boolean; applicationServerKey: Uint8Array<ArrayBuffer> }) => {
      this.did.push("subscribe");
      if (this.refuses) throw new DOMException("push service not available", "AbortError");
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
    register: async (path: string) => {
      this.did.push("register " + path);
      return (this.registration = {
        pushManager: this.pushManager,
        getNotifications: async (f?: { tag: string }) => this.shown.filter((n) => !f || n.tag === f.tag),
      });
    },
    getRegistration: async () => this.registration,
    get ready() {
      return this.getRegistration();
    },
    addEventListener: (_: string, f: (e: unknown) => void) => (this.listener = f),
  };

  show(tag: string) {
    const n = { tag, close: () => void (this.shown = this.shown.filter((x) => x !== n)) };
    this.shown.push(n);
  }
}

let browser: FakeBrowser;
let push: PushNotifications;
let asked: string[];
let server: (method: string, path: string, body: unknown) => Response | Promise<Response>;
let notification: { permission: string; requestPermission(): Promise<string> };

const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
const usual = (method: string) =>
  method === "GET" ? json(200, { public_key: key }) : new Response(null, { status: 204 });

function permit(answer: string) {
  notification.requestPermission = async () => (notification.permission = answer);
}

beforeEach(() => {
  localStorage.clear();
  usePush.setState({ state: "hidden" });
  browser = new FakeBrowser();
  push = new PushNotifications(new RestClient());
  asked = [];
  server = usual;
  notification = { permission: "default", requestPermission: async () => "default" };
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("PushManager", class {});
  vi.stubGlobal("Notification", notification);
  Object.defineProperty(navigator, "serviceWorker", { value: browser.container, configurable: true });
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    const body = init.body ? JSON.parse(init.body as string) : undefined;
    asked.push(`${init.method} ${path}` + (body ? " " + body.endpoint : ""));
    return server(init.method!, path, body);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  Reflect.deleteProperty(navigator, "serviceWorker");
});

const state = () => usePush.getState().state;

async function on(user = "aki") {
  permit("granted");
  await push.enable(user);
  expect(state()).toBe("on");
  asked = [];
  browser.did = [];
}

describe("what the switch shows", () => {
  it("is hidden where the installation does not push", async () => {
    server = () => json(404, { code: "not_found" });
    await push.refreshState("aki");
    expect(state()).toBe("hidden");
  });

  it("says that the browser cannot", async () => {
    vi.unstubAllGlobals();
    vi.stubGlobal("fetch", async () => usual("GET"));
    await push.refreshState("aki");
    expect(state()).toBe("unsupported");
    await push.resume("aki");
    await push.suspend();
    expect(browser.did).toEqual([]);
  });

  it("says that the person blocked it, and when it is off or on", async () => {
    await push.refreshState("aki");
    expect(state()).toBe("off");
    await on();
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

describe("switching on", () => {
  it("registers, subscribes with the installation's key and tells the server", async () => {
    permit("granted");
    let told: unknown;
    server = (method, _, body) => {
      if (method === "PUT") told = body;
      return usual(method);
    };
    await push.enable("aki");
    expect(browser.did).toEqual(["register /push.js", "subscribe"]);
    const used = new Uint8Array(browser.subscription!.options.applicationServerKey);
    expect(Buffer.from(used).toString("base64url")).toBe(key);
    expect(asked).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/1"]);
    expect(told).toEqual({ endpoint: "https://push.example/1", keys: { p256dh: "point", auth: "secret" } });
    expect(state()).toBe("on");
  });

  it("asks for the permission before anything else, while the browser sees the click", () => {
    const ask = vi.fn(async () => "default");
    notification.requestPermission = ask;
    void push.enable("aki");
    expect(ask).toHaveBeenCalledOnce();
    expect(asked).toEqual([]);
  });

  it.each([
    ["denied", "denied"],
    ["default", "off"],
  ])("does nothing when the answer is %s", async (answer, shown) => {
    permit(answer);
    await push.enable("aki");
    expect(state()).toBe(shown);
    expect([...asked, ...browser.did]).toEqual([]);
  });

  it("says why the browser could not subscribe", async () => {
    permit("granted");
    browser.refuses = true;
    await expect(push.enable("aki")).rejects.toMatchObject({
      code: "push",
      message: "push service not available",
    });
    expect(state()).toBe("hidden");
    await push.resume("aki");
    expect(asked.filter((a) => a.startsWith("PUT"))).toEqual([]);
  });

  it("leaves no subscription that the server does not know", async () => {
    permit("granted");
    server = (method) => (method === "PUT" ? json(429, { code: "rate_limited" }) : usual(method));
    await expect(push.enable("aki")).rejects.toBeInstanceOf(Problem);
    expect(browser.subscription).toBeNull();
    await push.refreshState("aki");
    expect(state()).toBe("off");
  });
});

describe("switching off", () => {
  it("tells the server, unsubscribes and takes away what is shown", async () => {
    await on();
    browser.show("c1");
    await push.disable();
    expect(asked).toEqual(["DELETE /api/v1/push/subscription https://push.example/1"]);
    expect(browser.did).toEqual(["unsubscribe"]);
    expect(browser.shown).toEqual([]);
    expect(state()).toBe("off");
    await push.resume("aki");
    expect(browser.subscription).toBeNull();
  });

  it("unsubscribes without the server too", async () => {
    await on();
    server = () => {
      throw new TypeError("offline");
    };
    await push.disable();
    expect(browser.subscription).toBeNull();
    expect(state()).toBe("off");
  });

  it("finds the subscription that is only being made", async () => {
    await on();
    await push.suspend();
    let release = () => {};
    server = async (method) => {
      if (method === "GET") await new Promise<void>((done) => (release = done));
      return usual(method);
    };
    const making = push.resume("aki");
    await vi.waitFor(() => expect(asked).toEqual(["GET /api/v1/push"]));
    const off = push.disable();
    release();
    await Promise.all([making, off]);
    expect(asked.at(-1)).toBe("DELETE /api/v1/push/subscription https://push.example/2");
    expect(browser.subscription).toBeNull();
  });
});

describe("logging in and out", () => {
  it("goes on for the same person after a session that ended by itself", async () => {
    await on();
    await push.suspend();
    expect(browser.subscription).toBeNull();
    expect(asked).toEqual([]);
    await push.resume("aki");
    expect(asked).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/2"]);
  });

  it("ends for another person", async () => {
    await on();
    browser.show("c1");
    await push.resume("ben");
    expect(browser.did).toEqual(["unsubscribe"]);
    expect(browser.shown).toEqual([]);
    expect(asked).toEqual([]);
  });

  it("keeps the subscription and tells the server again", async () => {
    await on();
    await push.resume("aki");
    expect(browser.did).toEqual(["register /push.js"]);
    expect(asked).toEqual(["GET /api/v1/push", "PUT /api/v1/push/subscription https://push.example/1"]);
    server = () => json(503, { code: "unavailable" });
    await expect(push.resume("aki")).rejects.toBeInstanceOf(Problem);
    expect(browser.subscription).not.toBeNull();
  });

  it("subscribes anew when the installation has new keys", async () => {
    await on();
    server = (method) => (method === "GET" ? json(200, { public_key: "AAAA" }) : usual(method));
    await push.resume("aki");
    expect(browser.did).toEqual(["register /push.js", "unsubscribe", "subscribe"]);
    expect(asked.at(-1)).toBe("PUT /api/v1/push/subscription https://push.example/2");
  });

  it("does not ask for a permission that was taken back", async () => {
    await on();
    notification.permission = "default";
    await push.resume("aki");
    expect(browser.did).toEqual(["unsubscribe"]);
  });
});

it("takes away the notifications of what is being read", async () => {
  await on();
  browser.show("c1");
  browser.show("c2");
  await push.closeNotifications("c1");
  expect(browser.shown.map((n) => n.tag)).toEqual(["c2"]);
});

it("tells the service worker where it is, and goes where it says", () => {
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
