// The service worker itself, in a scope that is not a browser's.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, vi } from "vitest";

const code = readFileSync("public/push.js", "utf8");

type Shown = { title: string; tag?: string; renotify?: boolean; body: string; data: unknown };
type Window = ReturnType<typeof page>;

let shown: Shown[];
let pages: Window[];
let opened: string[];
let calls: string[];
let putStatus: number;
let handlers: Record<string, (e: unknown) => void>;

/** A window of the page; one that is frozen does not answer. */
function page(conversation: string | null, visibilityState: string, frozen = false) {
  const p = {
    visibilityState,
    focused: false,
    went: undefined as string | undefined,
    postMessage(m: { type: string; conversation?: string }, ports?: MessagePort[]) {
      if (m.type === "open") p.went = m.conversation;
      if (m.type === "where" && !frozen) ports![0]!.postMessage({ conversation });
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
  handlers = {};
  const self = {
    addEventListener: (type: string, f: (e: unknown) => void) => (handlers[type] = f),
    skipWaiting: () => {},
    clients: {
      matchAll: async () => pages,
      openWindow: async (path: string) => void opened.push(path),
    },
    registration: {
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
    return init.method === "GET"
      ? new Response(JSON.stringify({ public_key: "served" }))
      : new Response(null, { status: init.method === "PUT" ? putStatus : 204 });
  };
  new Function("self", "fetch", code)(self, fetch);
});

/** Hands an event over and waits for what the worker does with it. */
async function event(type: string, e: object) {
  const work: Promise<unknown>[] = [];
  handlers[type]!({ ...e, waitUntil: (p: Promise<unknown>) => work.push(p) });
  expect(work).toHaveLength(1);
  await Promise.all(work);
}
const push = (data: unknown) => event("push", { data: { json: () => data } });
const message = { title: "aki", body: "hello", conversation: "c1" };

describe("a push", () => {
  it("is shown", async () => {
    await push(message);
    expect(shown).toMatchObject([
      { title: "aki", body: "hello", tag: "c1", renotify: true, data: { conversation: "c1" } },
    ]);
  });

  it("is not shown when the conversation is in view", async () => {
    pages = [page(null, "visible"), page("c1", "visible")];
    await push(message);
    expect(shown).toEqual([]);
  });

  it.each([
    ["another conversation is in view", () => page("c2", "visible")],
    ["the window is hidden", () => page("c1", "hidden")],
    ["the window does not answer", () => page("c1", "visible", true)],
  ])("is shown when %s", async (_, make) => {
    pages = [make()];
    await push(message);
    expect(shown).toHaveLength(1);
  });

  it("is shown in some way even if nobody understands it", async () => {
    await event("push", { data: null });
    const json = () => {
      throw new SyntaxError();
    };
    await event("push", { data: { json } });
    expect(shown).toMatchObject([{ title: "Hikyaku" }, { title: "Hikyaku" }]);
    expect(shown[0]).not.toHaveProperty("renotify"); // browsers refuse it without a tag
  });

  it("takes the place of the one before, in the order of the pushes", async () => {
    await push({ ...message, conversation: "c2" });
    const slow = page(null, "visible", true);
    slow.postMessage = () => (pages = []); // nobody is asked about the second
    pages = [slow];
    const first = push(message);
    await vi.waitFor(() => expect(pages).toEqual([]));
    await Promise.all([first, push({ ...message, body: "and again" })]);
    expect(shown.map((n) => `${n.tag}: ${n.body}`)).toEqual(["c2: hello", "c1: and again"]);
  });
});

describe("a click", () => {
  const click = async (conversation?: string) => {
    const close = vi.fn();
    await event("notificationclick", { notification: { close, data: { conversation } } });
    expect(close).toHaveBeenCalledOnce();
  };

  it("opens a window where there is none", async () => {
    await click("c1");
    await click();
    expect(opened).toEqual(["/c/c1", "/"]);
  });

  it("goes there in an open window, at best the one that is there", async () => {
    pages = [page("c2", "visible"), page(null, "hidden")];
    await click("c1");
    expect(pages.map((p) => [p.focused, p.went])).toEqual([
      [true, "c1"],
      [false, undefined],
    ]);
    pages = [page("c2", "visible"), page("c1", "hidden")];
    await click("c1");
    expect(pages.map((p) => p.focused)).toEqual([false, true]);
    expect(opened).toEqual([]);
  });

  it("does not rely on a window that is frozen", async () => {
    pages = [page("c1", "hidden", true)];
    await click("c1");
    expect(opened).toEqual(["/c/c1"]);
    expect(pages[0]!.went).toBeUndefined();
  });
});

describe("a subscription that the browser ended", () => {
  it("is made again with the same key", async () => {
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls).toEqual([
      "subscribe key",
      "PUT /api/v1/push/subscription new",
      "DELETE /api/v1/push/subscription old",
    ]);
  });

  it("is made with the server's key where the old one is unknown", async () => {
    await event("pushsubscriptionchange", {});
    expect(calls).toEqual(["GET /api/v1/push", "subscribe served", "PUT /api/v1/push/subscription new"]);
  });

  it("is the browser's new one if there is one", async () => {
    await event("pushsubscriptionchange", {
      oldSubscription: subscription("old"),
      newSubscription: subscription("given"),
    });
    expect(calls[0]).toBe("PUT /api/v1/push/subscription given");
  });

  it("ends when nobody is logged in", async () => {
    putStatus = 401;
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls.at(-1)).toBe("unsubscribe new");
  });
});
