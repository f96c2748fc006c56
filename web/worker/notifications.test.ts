// The worker's notifications, in a global scope made by the test.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openStorage, Storage } from "../src/sync/storage";
import { setWorkerNote } from "../src/sync/workernote";
import { serveNotifications } from "./notifications";

type Shown = {
  title: string;
  tag?: string;
  renotify?: boolean;
  body: string;
  data: unknown;
  actions?: object[];
};
type FakePage = ReturnType<typeof page>;

const words = { reply: "Reply", notSent: "Not sent yet.", notKept: "Not saved." };

let shown: Shown[];
let pages: FakePage[];
let opened: string[];
let calls: string[];
let accounts: Set<string | null>;
let putStatus: number;
let sent: { id: string; body: string }[];
let post: () => Promise<Response>;
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

beforeEach(async () => {
  await setWorkerNote({ account: "7", words });
  sent = [];
  post = async () => new Response("{}", { status: 202 });
  shown = [];
  pages = [];
  opened = [];
  calls = [];
  putStatus = 204;
  timeouts = [];
  handlers = {};
  accounts = new Set();
  const scope = {
    NotificationEvent: class {
      get reply() {
        return "";
      }
    },
    addEventListener: (type: string, f: (e: unknown) => void) => (handlers[type] = f),
    clients: {
      matchAll: async () => pages,
      openWindow: async (path: string) => void opened.push(path),
    },
    registration: {
      scope: "https://chat.example/below/",
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
  const fetch = async (url: URL, init: RequestInit) => {
    const body = init.body ? JSON.parse(init.body as string) : undefined;
    calls.push(`${init.method} ${url.pathname} ${body?.endpoint ?? ""}`.trim());
    accounts.add(new Headers(init.headers).get("Hikyaku-Account"));
    if (init.method === "POST") {
      sent.push(body);
      return post();
    }
    return init.method === "GET"
      ? new Response(JSON.stringify({ public_key: "served" }))
      : new Response(null, { status: init.method === "PUT" ? putStatus : 204 });
  };
  vi.stubGlobal("fetch", fetch);
  vi.stubGlobal("setTimeout", (f: () => void) => timeouts.push(f));
  vi.stubGlobal("clearTimeout", () => {});
  serveNotifications(scope as unknown as ServiceWorkerGlobalScope);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const quota = () => new DOMException("no space", "QuotaExceededError");

/** Lets only the worker's own database open, no outbox. */
function refuseOutbox() {
  const open = indexedDB.open.bind(indexedDB);
  vi.spyOn(indexedDB, "open").mockImplementation((name, version) => {
    if (name !== "hikyaku-worker") throw new DOMException("no access", "UnknownError");
    return open(name, version);
  });
}

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
    expect(opened).toEqual(["https://chat.example/below/c/c1", "https://chat.example/below/"]);
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
    expect(opened).toEqual(["https://chat.example/below/c/c1"]);
    expect(pages[0]!.opened).toBeUndefined();
  });
});

describe("an answer to a notification", () => {
  const answer = (reply: string) =>
    event("notificationclick", {
      action: "reply",
      reply,
      notification: {
        close: () => {},
        title: "aki",
        data: shown.at(-1)?.data ?? { conversation: "c1" },
      },
    });
  const outbox = async () => {
    const storage = await openStorage("7");
    const messages = await storage.outbox();
    await storage.clear();
    storage.close();
    return messages;
  };

  it("is offered where somebody can be written for", async () => {
    await push(message);
    expect(shown[0]!.actions).toEqual([{ action: "reply", type: "text", title: "Reply" }]);
    await setWorkerNote(null);
    await push(message);
    expect(shown[0]).not.toHaveProperty("actions");
  });

  it("is sent for the account, and leaves nothing", async () => {
    await answer(" see you ");
    expect(calls).toEqual(["POST /below/api/v1/conversations/c1/messages"]);
    expect([...accounts]).toEqual(["7"]);
    expect(sent).toMatchObject([{ body: "see you" }]);
    expect(await outbox()).toEqual([]);
    expect(shown).toEqual([]);
  });

  it.each([
    ["there is no network", () => Promise.reject(new TypeError("offline"))],
    ["the server is busy", async () => new Response("{}", { status: 503 })],
    ["somebody else is logged in", async () => new Response("{}", { status: 412 })],
  ])("waits under its id when %s", async (_, f) => {
    post = f;
    await answer("see you");
    expect(await outbox()).toMatchObject([{ id: sent[0]!.id, conversation: "c1", body: "see you" }]);
    expect(shown).toMatchObject([{ title: "aki", tag: "c1", body: "Not sent yet.\nsee you" }]);
  });

  it("is there as failed when it is refused for good", async () => {
    post = async () => new Response(JSON.stringify({ code: "not_found" }), { status: 404 });
    await answer("see you");
    expect(await outbox()).toMatchObject([{ id: sent[0]!.id, failed: "not_found" }]);
  });

  describe.each([
    ["the device is full", () => vi.spyOn(Storage.prototype, "save").mockRejectedValue(quota())],
    ["the storage does not open", refuseOutbox],
  ])("when %s", (_, fail) => {
    it("is sent nevertheless", async () => {
      fail();
      await answer("see you");
      expect(sent).toMatchObject([{ body: "see you" }]);
      expect(shown).toEqual([]);
    });

    it.each([
      ["cannot be sent", () => Promise.reject(new TypeError("offline"))],
      ["is refused", async () => new Response("{}", { status: 404 })],
    ])("is shown when it %s", async (_, f) => {
      fail();
      post = f;
      await answer("see you");
      expect(sent).toHaveLength(1);
      expect(shown).toMatchObject([{ title: "aki", tag: "c1", body: "Not saved.\nsee you" }]);
    });
  });

  it("is shown, and not sent, when nobody is written for any more", async () => {
    await push(message);
    await setWorkerNote(null);
    await answer("see you");
    expect(calls).toEqual([]);
    expect(shown).toMatchObject([{ title: "aki", tag: "c1", body: "Not saved.\nsee you" }]);
    expect(shown[0]).not.toHaveProperty("actions");
  });

  it("without a text opens the conversation", async () => {
    await answer("  ");
    expect(opened).toEqual(["https://chat.example/below/c/c1"]);
    expect(sent).toEqual([]);
  });
});

describe("pushsubscriptionchange", () => {
  it("subscribes again with the same key", async () => {
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls).toEqual([
      "subscribe key",
      "PUT /below/api/v1/push/subscription new",
      "DELETE /below/api/v1/push/subscription old",
    ]);
    expect([...accounts]).toEqual(["7"]);
  });

  it("subscribes with the server's key when the old one is unknown", async () => {
    await event("pushsubscriptionchange", {});
    expect(calls).toEqual([
      "GET /below/api/v1/push",
      "subscribe served",
      "PUT /below/api/v1/push/subscription new",
    ]);
  });

  it("uses the browser's new subscription if there is one", async () => {
    await event("pushsubscriptionchange", {
      oldSubscription: subscription("old"),
      newSubscription: subscription("given"),
    });
    expect(calls[0]).toBe("PUT /below/api/v1/push/subscription given");
  });

  it("registers nothing when there is nobody to act for", async () => {
    await setWorkerNote(null);
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls).toEqual([]);
    await event("pushsubscriptionchange", { newSubscription: subscription("given") });
    expect(calls).toEqual(["unsubscribe given"]);
  });

  it.each([401, 412])("unsubscribes when nobody, or somebody else, is logged in: %d", async (status) => {
    putStatus = status;
    await event("pushsubscriptionchange", { oldSubscription: subscription("old") });
    expect(calls.at(-1)).toBe("unsubscribe new");
  });
});
