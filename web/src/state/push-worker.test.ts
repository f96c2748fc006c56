// The service worker public/push.js, in a global scope made by the test.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, vi } from "vitest";

const code = readFileSync("public/push.js", "utf8");

type Shown = { title: string; tag?: string; renotify?: boolean; body: string; data: unknown };
type FakePage = ReturnType<typeof page>;

let shown: Shown[];
let pages: FakePage[];
let opened: string[];
let calls: string[];
let accounts: Set<string | null>;
let putStatus: number;
let timeouts: (() => void)[];
let handlers: Record<string, (e: unknown) => void>;

/** A window with the page. One that is frozen does not answer until the worker
 * stops waiting; the others have all the time they need. */
function page(conversation: string | null, visibilityState: string, frozen = false) {
  const p = {
    visibilityState,
    focused: false,
    opened: undefined as string | undefined,
    postMessage(m: { type: string; conversation?: string }, ports?: MessagePort[]) {
      if (m.type === "open") p.opened = m.conversation;
      if (m.type !== "where") return;
      if (frozen) queueMicrotask(timeouts.at(-1)!);
      else ports![0]!.postMessage({ conversation });
    },
    async focus() {
      p.focused = true;
    },
  };
  return p;
}

const subscription = (endpoint: string) => ({
  endpoint,
  options: { applicationServerKey: "key" },
  toJSON: () => ({ endpoint, keys: { p256dh: "p", auth: "a" } }),
  unsubscribe: async () => void calls.push("unsubscribe " + endpoint),
});

beforeEach(() => {
  shown = [];
  pages = [];
  opened = [];
  calls = [];
  putStatus = 204;
  timeouts = [];
  handlers = {};
  accounts = new Set();
  const self = {
    location: { search: "?account=7" },
    addEventListener: (type: string, f: (e: unknown) => void) => (handlers[type] = f),
    skipWaiting: () => {},
    clients: {
      matchAll: async () => pages,
      openWindow: async (path: string) => void opened.push(path),
    },
    registration: {
      scope: "https://chat.example/",
      async showNotification(title: string, options: Omit<Shown, "title">) {
        const n: Shown = { title, ...options };
        if (n.tag) shown = shown.filter((x) => x.tag !== n.tag);
        shown.push(n);
      },
      pushManager: {
        subscribe: async (o: { applicationServerKey: string }) => {
          calls.push("subscribe " + o.applicationServerKey);
          return subscription("new");
        },
      },
    },
  };
  const fetch = async (path: string, init: RequestInit) => {
    calls.push(`${init.method} ${path} ${init.body ? JSON.parse(init.body as string).endpoint : ""}`.trim());
    accounts.add(new Headers(init.headers).get("Hikyaku-Account"));
    return init.method === "GET"
      ? new Response(JSON.stringify({ public_key: "served" }))
      : new Response(null, { status: init.method === "PUT" ? putStatus : 204 });
  };
  const setTimeout = (f: () => void) => timeouts.push(f);
  new Function("self", "fetch", "setTimeout", "clearTimeout", code)(self, fetch, setTimeout, () => {});
});

/** Dispatches an event, and waits until the worker has handled it. */
async function event(type: string, e: object) {
  const tasks: Promise<unknown>[] = [];
  handlers[type]!({ ...e, waitUntil: (p: Promise<unknown>) => tasks.push(p) });
  expect(tasks).toHaveLength(1);
  await Promise.all(tasks);
}
const push = (data: unknown) => event("push", { data: { json: () => data } });
const message = { title: "aki", body: "hello", conversation: "c1" };

describe("push", () => {
  it("shows a notification", async () => {
    await push(message);
    expect(shown).toMatchObject([
      { title: "aki", body: "hello", tag: "c1", renotify: true, data: { conversation: "c1" } },
    ]);
  });

  it("shows none when the conversation is in view", async () => {
    pages = [page(null, "visible"), page("c1", "visible")];
    await push(message);
    expect(shown).toEqual([]);
  });

  it.each([
    ["another conversation is in view", () => page("c2", "visible")],
    ["the window is hidden", () => page("c1", "hidden")],
    ["the window does not answer", () => page("c1", "visible", true)],
  ])("shows one when %s", async (_, make) => {
    pages = [make()];
    await push(message);
    expect(shown).toHaveLength(1);
  });

  it("shows one even if the payload cannot be parsed", async () => {
    await event("push", { data: null });
    const json = () => {
      throw new SyntaxError();
    };
    await event("push", { data: { json } });
    expect(shown).toMatchObject([{ title: "Hikyaku" }, { title: "Hikyaku" }]);
    expect(shown[0]).not.toHaveProperty("renotify"); // browsers refuse it without a tag
  });

  it("replaces the one before, in the order of the pushes", async () => {
    await push({ ...message, conversation: "c2" });
    let answerFirst = () => {};
    const slow = page(null, "visible", true);
    slow.postMessage = () => {
      pages = []; // no page is asked about the second push
      answerFirst = timeouts.at(-1)!;
    };
    pages = [slow];
    const first = push(message);
    await vi.waitFor(() => expect(pages).toEqual([]), { timeout: 30_000 });
    const second = push({ ...message, body: "and again" });
    answerFirst();
    await Promise.all([first, second]);
    expect(shown.map((n) => `${n.tag}: ${n.body}`)).toEqual(["c2: hello", "c1: and again"]);
  });
});

describe("notificationclick", () => {
  const click = async (conversation?: string) => {
    const close = vi.fn();
    await event("notificationclick", { notification: { close, data: { conversation } } });
    expect(close).toHaveBeenCalledOnce();
  };

  it("opens a window when there is none", async () => {
    await click("c1");
    await click();
    expect(opened).toEqual(["/c/c1", "/"]);
  });

  it("opens the conversation in an open window, preferably one that shows it", async () => {
    pages = [page("c2", "visible"), page(null, "hidden")];
    await click("c1");
    expect(pages.map((p) => [p.focused, p.opened])).toEqual([
      [true, "c1"],
      [false, undefined],
    ]);
    pages = [page("c2", "visible"), page("c1", "hidden")];
    await click("c1");
    expect(pages.map((p) => p.focused)).toEqual([false, true]);
    expect(opened).toEqual([]);
  });

  it("does not use a window that is frozen", async () => {
    pages = [page("c1", "hidden", true)];
    await click("c1");
    expect(opened).toEqual(["/c/c1"]);
    expect(pages[0]!.opened).toBeUndefined();
  });
});

describe("pushsubscriptionchange", () => {
  it("subscribes again with the same key", async () => {
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls).toEqual([
      "subscribe key",
      "PUT /api/v1/push/subscription new",
      "DELETE /api/v1/push/subscription old",
    ]);
    expect([...accounts]).toEqual(["7"]);
  });

  it("subscribes with the server's key when the old one is unknown", async () => {
    await event("pushsubscriptionchange", {});
    expect(calls).toEqual(["GET /api/v1/push", "subscribe served", "PUT /api/v1/push/subscription new"]);
  });

  it("uses the browser's new subscription if there is one", async () => {
    await event("pushsubscriptionchange", {
      oldSubscription: subscription("old"),
      newSubscription: subscription("given"),
    });
    expect(calls[0]).toBe("PUT /api/v1/push/subscription given");
  });

  it.each([401, 412])("unsubscribes when nobody, or somebody else, is logged in: %d", async (status) => {
    putStatus = status;
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls.at(-1)).toBe("unsubscribe new");
  });
});
