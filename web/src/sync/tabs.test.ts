// The outboxes of tabs that share one; random schedules are in tabs.simulation.test.ts.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame } from "../protocol/types";
import { Drafts } from "./drafts";
import { FakeBrowser } from "./fakebrowser";
import { MemoryStorage } from "./memorystorage";
import { Outbox, type OutboxMessage } from "./outbox";
import { SenderLock } from "./senderlock";
import { openTabs, Tabs } from "./tabs";

type Options = { hasLocks?: boolean; hasChannel?: boolean; isVisible?: boolean };

/** A browser whose tabs have one database. */
function setup({ hasLocks = true, hasChannel = true }: Options = {}) {
  const browser = new FakeBrowser();
  const storage = new MemoryStorage();
  const open = async ({ isVisible = true }: Options = {}) => {
    const tab = {
      tabs: undefined as unknown as Tabs,
      outbox: undefined as unknown as Outbox,
      drafts: undefined as unknown as Drafts,
      /** The ids of sends, "-" and the id for withdrawals. */
      sent: [] as string[],
      shown: [] as OutboxMessage[],
      /** The texts of the draft that were shown one after the other. */
      seen: [] as string[],
      states: () => tab.shown.map((m) => `${m.id} ${m.code ?? m.state}`),
    };
    tab.tabs = new Tabs(
      "1",
      hasChannel ? browser.openChannel(tab) : undefined,
      hasLocks ? browser.locks(tab) : undefined,
      () => isVisible,
    );
    const send = (f: ClientFrame) =>
      tab.sent.push(f.t === "send" ? f.id : `-${(f as { id: string }).id}`) > 0;
    tab.outbox = new Outbox(storage, send, (shown) => (tab.shown = shown), tab.tabs);
    tab.drafts = new Drafts(
      storage,
      (all) => tab.seen.push(all.c?.text ?? ""),
      (m) => tab.tabs.post(m),
    );
    tab.tabs.onMessage = (m) => (m.t === "draft" ? tab.drafts.receive(m) : tab.outbox.receive(m));
    await tab.outbox.load();
    return tab;
  };
  /** Opens tabs and connects them; the first one sends. */
  const connect = async (n: number, options?: Options) => {
    const opened = [];
    for (let i = 0; i < n; i++) {
      const tab = await open(options);
      tab.outbox.connected(10);
      await settle();
      opened.push(tab);
    }
    return opened as [Tab, Tab, Tab];
  };
  type Tab = Awaited<ReturnType<typeof open>>;
  return { browser, storage, open, connect };
}

/** Waits for all that follows from what was done. */
async function settle() {
  await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("an outbox of several tabs", () => {
  it("shows the same in all, and sends once: in the tab in which the person writes", async () => {
    const { browser, connect } = setup();
    const [a, b] = await connect(2);
    expect(browser.sender).toBe(a);
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    a.outbox.accepted("1");
    await settle();
    expect([a.sent, b.sent]).toEqual([["1"], []]);
    expect(b.states()).toEqual(["1 accepted"]);
    for (const t of [a, b]) t.outbox.stored("1");
    await b.outbox.add("2", "c", "two", 0, 0);
    await settle();
    expect(browser.sender).toBe(b);
    expect([a.sent, b.sent]).toEqual([["1"], ["2"]]);
    b.outbox.stored("2");
    await settle();
    expect([a.states(), b.states()]).toEqual([["2 accepted"], []]);
    a.outbox.stored("2");
    expect(a.shown).toEqual([]);
  });

  it("shows what is stored in each tab until that has seen it, and does not send it", async () => {
    const { connect } = setup();
    const [a, b] = await connect(2);
    b.outbox.disconnected();
    await b.outbox.add("1", "c", "one", 0, 0);
    await settle();
    a.outbox.stored("1");
    await settle();
    vi.advanceTimersByTime(60_000);
    b.outbox.failed("1", "not_found"); // a word that was overtaken
    expect(b.states()).toEqual(["1 accepted"]);
    a.outbox.disconnected();
    await settle();
    b.outbox.connected(10);
    await b.outbox.add("2", "c", "two", 0, 0);
    await settle();
    expect(b.sent).toEqual(["2"]);
    // A page of history may have it, of which the outbox hears nothing.
    vi.advanceTimersByTime(5000);
    expect(b.states()).toEqual(["2 sending"]);
    // Nor does the other tab bring it back.
    await a.outbox.load();
    await settle();
    expect([a.states(), b.states()]).toEqual([["2 sending"], ["2 sending"]]);
  });

  it("sends in the tab that is connected what is written in one that is not", async () => {
    const { connect } = setup();
    const [a, b] = await connect(2);
    b.outbox.disconnected();
    await b.outbox.add("1", "c", "one", 0, 0);
    await settle();
    expect([a.sent, b.sent]).toEqual([["1"], []]);
    a.outbox.rejected({ id: "1", code: "not_found" });
    await settle();
    expect(b.states()).toEqual(["1 not_found"]);
    b.outbox.retry("1", "2");
    await settle();
    expect(a.sent).toEqual(["1", "2"]);
    expect([a.states(), b.states()]).toEqual([["2 sending"], ["2 sending"]]);
    b.outbox.remove("2");
    await settle();
    expect(a.shown).toEqual([]);
  });

  it("sends what a closed tab left, in the order in which it was written", async () => {
    const { browser, connect, storage } = setup();
    const [a, b] = await connect(2);
    for (const t of [a, b]) t.outbox.disconnected();
    await a.outbox.add("1", "c", "one", 0, 0);
    vi.advanceTimersByTime(500);
    await b.outbox.add("2", "c", "two", 0, 0);
    vi.advanceTimersByTime(500);
    await a.outbox.add("3", "c", "three", 0, 0);
    browser.end(a);
    await settle();
    b.outbox.connected(10);
    await settle();
    expect(b.sent).toEqual(["1", "2", "3"]);
    expect((await storage.outbox()).map((m) => m.id)).toEqual(["1", "2", "3"]);
  });

  it("goes on in another tab, with what has no final answer, when the one that sends ends", async () => {
    const { browser, connect } = setup();
    const [a, b, c] = await connect(3);
    await a.outbox.add("1", "c", "one", 0, 0);
    a.outbox.accepted("1");
    await a.outbox.add("2", "c", "two", 0, 0);
    a.outbox.rejected({ id: "2", code: "unavailable", retry_after_ms: 500 });
    await settle();
    browser.end(a);
    await settle();
    expect(b.sent).toEqual(["1"]);
    vi.advanceTimersByTime(500);
    expect(b.sent).toEqual(["1", "2"]);
    // Also after another tab has taken over meanwhile.
    await c.outbox.add("3", "c", "three", 0, 0);
    await settle();
    expect(c.sent).toEqual(["1", "2", "3"]);
    browser.end(c);
    await settle();
    expect(b.sent).toEqual(["1", "2", "1", "2", "3"]);
  });

  it("does not send again what was refused for now before another tab took over", async () => {
    const { connect } = setup();
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await b.outbox.add("2", "c", "two", 0, 0);
    await settle();
    a.outbox.rejected({ id: "1", code: "unavailable", retry_after_ms: 100 });
    vi.advanceTimersByTime(1000);
    expect([a.sent, b.sent]).toEqual([["1"], ["1", "2"]]);
    // It is stored: nothing waits for it on the first connection.
    b.outbox.stored("1");
    await settle();
    expect(a.sent).toEqual(["1", "-1"]);
  });

  it("takes over from a tab that is heard no more, if the person looks at this one", async () => {
    for (const isVisible of [true, false]) {
      const { connect, open, browser } = setup();
      const [a] = await connect(1);
      const b = await open({ isVisible });
      b.outbox.connected(10);
      await settle();
      await a.outbox.add("1", "c", "one", 0, 0);
      await settle();
      a.tabs.onMessage = () => {}; // it is frozen
      vi.advanceTimersByTime(2999);
      await settle();
      expect(browser.sender).toBe(a);
      vi.advanceTimersByTime(1);
      await settle();
      expect(browser.sender).toBe(isVisible ? b : a);
      expect(b.sent).toEqual(isVisible ? ["1"] : []);
    }
  });

  it("does not take over from a tab that sends when the server wants it again", async () => {
    const { connect, open, browser } = setup();
    const [a, b] = await connect(2);
    for (const [id, conversation] of [
      ["1", "c"],
      ["2", "c"],
    ] as const)
      await a.outbox.add(id, conversation, id, 0, 0);
    a.outbox.rejected({ id: "1", code: "rate_limited", retry_after_ms: 10_000 });
    a.outbox.rejected({ id: "2", code: "order", retry_after_ms: 100, waits_for: "1" });
    await settle();
    vi.advanceTimersByTime(4000);
    await settle();
    // One that hears of it later does not either.
    const c = await open();
    c.outbox.connected(10);
    await settle();
    vi.advanceTimersByTime(5999);
    await settle();
    expect(browser.sender).toBe(a);
    expect([a.sent, b.sent, c.sent]).toEqual([["1", "2"], [], []]);
    vi.advanceTimersByTime(1);
    expect(a.sent).toEqual(["1", "2", "1", "2"]);
  });

  it("takes over from a tab that does not send when the server wants it again", async () => {
    const { connect, browser } = setup();
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    a.outbox.rejected({ id: "1", code: "rate_limited", retry_after_ms: 10_000 });
    await settle();
    Object.assign(a.outbox, { flush() {}, watch() {} }); // it is frozen
    vi.advanceTimersByTime(12_999);
    await settle();
    expect(browser.sender).toBe(a);
    vi.advanceTimersByTime(1);
    await settle();
    expect([browser.sender === b, b.sent]).toEqual([true, ["1"]]);
  });

  it("waits as long as the server says in a tab in which the person writes meanwhile", async () => {
    const { connect, browser } = setup();
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    a.outbox.rejected({ id: "1", code: "rate_limited", retry_after_ms: 10_000 });
    await settle();
    await b.outbox.add("2", "c", "two", 0, 0);
    await b.outbox.add("3", "other", "three", 0, 0);
    await settle();
    expect(browser.sender).toBe(b);
    expect(b.sent).toEqual(["3"]);
    vi.advanceTimersByTime(10_000);
    expect([a.sent, b.sent]).toEqual([["1"], ["3", "1", "2"]]);
  });

  it("takes over when the person comes back to it", async () => {
    const { connect, browser } = setup();
    const [a, b] = await connect(2);
    b.tabs.post = () => {};
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    await a.outbox.add("2", "c", "two", 0, 0);
    await settle();
    vi.advanceTimersByTime(3000);
    await settle();
    expect(browser.sender).toBe(b);
    a.outbox.attended();
    vi.advanceTimersByTime(3000);
    await settle();
    expect(browser.sender).toBe(a);
    // The one that the lock was taken from waits for its turn.
    browser.end(a);
    await settle();
    expect(browser.sender).toBe(b);
  });

  it("does not bring back what was removed", async () => {
    const { connect, open, storage } = setup();
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    const left = storage.messages.get("1")!;
    for (const t of [a, b]) t.outbox.stored("1");
    storage.messages.set("1", left); // its deletion was lost
    await a.outbox.load();
    expect(a.shown).toEqual([]);
    const c = await open();
    c.outbox.connected(10);
    await settle();
    vi.advanceTimersByTime(5000);
    expect(c.shown).toEqual([]);
    a.tabs.lock.release();
    await settle();
    expect(c.sent).toEqual([]);
    // The same with what the person has discarded.
    await a.outbox.add("2", "c", "two", 0, 0);
    a.outbox.rejected({ id: "2", code: "not_found" });
    await settle();
    const failed = storage.messages.get("2")!;
    b.outbox.remove("2");
    await settle();
    expect([a.shown, c.shown]).toEqual([[], []]);
    storage.messages.set("2", failed);
    const d = await open();
    expect(d.states()).toEqual(["2 not_found"]);
    await settle();
    expect(d.shown).toEqual([]);
  });

  it("tells a new tab what no database has", async () => {
    const { connect, open, storage } = setup();
    const [a] = await connect(1);
    await a.outbox.add("1", "c", "one", 0, 0);
    a.outbox.accepted("1");
    storage.messages.clear();
    a.drafts.save("c", { text: "a draft" });
    const b = await open();
    await settle();
    expect(b.states()).toEqual(["1 accepted"]);
  });

  it("knows in each tab whether a message may have been sent by any", async () => {
    const { connect } = setup();
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    a.outbox.disconnected();
    await settle();
    for (const t of [a, b]) t.outbox.disconnected();
    await a.outbox.add("2", "c", "two", 0, 0);
    await settle();
    b.outbox.removeConversation("c");
    await settle();
    for (const t of [a, b]) expect(t.states()).toEqual(["1 unconfirmed", "2 not_found"]);
  });
});

describe("what has no answer, in several tabs", () => {
  /** Two tabs with one message of which it is not known whether it was stored. */
  const unconfirmed = async () => {
    const all = setup();
    const [a, b] = await all.connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    for (const t of [a, b]) t.outbox.removeConversation("c");
    await settle();
    for (const t of [a, b]) expect(t.states()).toEqual(["1 unconfirmed"]);
    return { ...all, a, b };
  };

  it("is retried in all under the same id, and once", async () => {
    const { a, b, connect } = await unconfirmed();
    b.outbox.retry("1", "2");
    await settle();
    expect([a.sent, b.sent]).toEqual([["1"], ["1"]]);
    for (const t of [a, b]) expect(t.states()).toEqual(["1 sending"]);
    // An older word of another tab does not end that, nor what is loaded.
    const [c] = await connect(1);
    expect([b, c].map((t) => t.states())).toEqual([["1 sending"], ["1 sending"]]);
    b.outbox.accepted("1");
    await settle();
    expect(a.states()).toEqual(["1 accepted"]);
    // The same happens again.
    a.outbox.removeConversation("c");
    await settle();
    expect(b.states()).toEqual(["1 unconfirmed"]);
    b.outbox.retry("1", "2");
    b.outbox.rejected({ id: "1", code: "not_found" });
    await settle();
    for (const t of [a, b, c]) expect(t.states()).toEqual(["1 not_found"]);
  });

  it("is sent by the tab that is connected when it is retried in one that is not", async () => {
    const { a, b } = await unconfirmed();
    b.outbox.disconnected();
    b.outbox.retry("1", "2");
    await settle();
    expect([a.sent, b.sent]).toEqual([["1", "1"], []]);
  });

  it("is not taken back by a tab that has not heard of the retry", async () => {
    const { a, b, storage, open } = await unconfirmed();
    a.tabs.onMessage = () => {}; // it is frozen
    b.outbox.retry("1", "2");
    await settle();
    expect(storage.messages.get("1")!.failed).toBeUndefined();
    b.outbox.stop();
    b.tabs.close();
    a.tabs.onMessage = (m) => (m.t === "draft" ? undefined : a.outbox.receive(m));
    const c = await open(); // which a answers with what it has
    await settle();
    expect([a.states(), c.states()]).toEqual([["1 sending"], ["1 sending"]]);
  });
});

describe("an outbox without locks", () => {
  it("sends in each tab what was written there, and what a closed tab left", async () => {
    const { browser, connect } = setup({ hasLocks: false });
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await b.outbox.add("2", "c", "two", 0, 0);
    await settle();
    expect([a.sent, b.sent]).toEqual([["1"], ["2"]]);
    expect(b.states()).toEqual(a.states());
    browser.end(a);
    b.outbox.disconnected();
    b.outbox.connected(10);
    expect(b.sent).toEqual(["2", "1", "2"]);
  });

  it("sends what a closed tab left where there is no channel either", async () => {
    const { connect } = setup({ hasLocks: true, hasChannel: false });
    const [a, b] = await connect(2);
    await a.outbox.add("1", "c", "one", 0, 0);
    await settle();
    expect([a.sent, b.sent]).toEqual([["1"], []]);
    b.outbox.disconnected();
    b.outbox.connected(10);
    await settle();
    expect(b.sent).toEqual(["1"]);
  });

  it("goes on without them when they do not work", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const request = () => Promise.reject(new DOMException("denied", "SecurityError"));
    vi.stubGlobal("navigator", { locks: { request } });
    const tabs = openTabs("1");
    tabs.lock.request();
    await vi.waitFor(() => expect(tabs.lock.isHeld).toBe(true), { timeout: 30_000 });
    expect(tabs.lock.isExclusive).toBe(false);
    expect(warn).toHaveBeenCalledOnce();
    tabs.close();
    expect(() => tabs.post({ t: "removed", ids: [] })).not.toThrow();
  });
});

describe("a lock that the browser refuses", () => {
  const invalid = () => new DOMException("the document is not active", "InvalidStateError");
  beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));

  /** Two tabs, and what decides how often the second is refused from now on. */
  const open = async () => {
    const browser = new FakeBrowser();
    const refusals = { left: 0 };
    const lockOf = (tab: object) => {
      const locks = browser.locks(tab);
      return new SenderLock("1", {
        request: (...args) => (refusals.left-- > 0 ? Promise.reject(invalid()) : locks.request(...args)),
      });
    };
    const lock = { a: lockOf({}), b: lockOf({}) };
    lock.a.request();
    await settle();
    return { browser, lock, refusals };
  };

  it("is asked for again, and is exclusive all the time", async () => {
    const { lock, refusals } = await open();
    refusals.left = 2;
    lock.b.request();
    await settle();
    expect([lock.b.isHeld, lock.b.isExclusive]).toEqual([false, true]);
    lock.b.request(); // on the next connection
    await settle();
    expect([lock.b.isHeld, lock.b.isExclusive]).toEqual([false, true]);
    vi.advanceTimersByTime(1000);
    await settle();
    lock.a.release();
    await settle();
    expect([lock.a.isHeld, lock.b.isHeld]).toEqual([false, true]);
    // What was refused before does not count any more.
    lock.b.release();
    lock.a.request();
    await settle();
    refusals.left = 2;
    expect(lock.b.take()).toBe(true);
    await settle();
    vi.advanceTimersByTime(1000);
    await settle();
    expect([lock.a.isHeld, lock.b.isExclusive]).toEqual([true, true]);
  });

  it("is not asked for when it is not wanted any more", async () => {
    const { lock, refusals } = await open();
    refusals.left = 1;
    lock.b.request();
    await settle();
    lock.b.release();
    vi.advanceTimersByTime(1000);
    lock.a.release();
    await settle();
    expect(lock.b.isHeld).toBe(false);
  });

  it("is given up when that does not end: something has to send", async () => {
    const { lock, refusals } = await open();
    refusals.left = 3;
    lock.b.request();
    for (let i = 0; i < 2; i++) {
      await settle();
      expect(lock.b.isHeld).toBe(false);
      vi.advanceTimersByTime(1000);
    }
    await settle();
    expect([lock.b.isHeld, lock.b.isExclusive]).toEqual([true, false]);
  });
});

describe("drafts", () => {
  it("are in all tabs what was written last", async () => {
    const { open } = setup();
    const [a, b] = [await open(), await open()];
    a.drafts.save("c", { text: "one" });
    await settle();
    expect(b.seen).toEqual(["one"]);
    vi.advanceTimersByTime(1);
    // What is told late does not replace what is written here.
    a.drafts.save("c", { text: "one two" });
    vi.advanceTimersByTime(1);
    b.drafts.save("c", { text: "one three" });
    await settle();
    expect(b.seen).toEqual(["one", "one three"]);
    for (const t of [a, b]) expect(t.drafts.get("c")).toEqual({ text: "one three" });
    b.drafts.save("c", { text: "" });
    await settle();
    expect(a.seen.at(-1)).toBe("");
  });

  it("have their reply and their edit in all tabs and after a reload", async () => {
    const { open, storage } = setup();
    const [a, b] = [await open(), await open()];
    const draft = {
      text: "an answer",
      replyTo: { seq: 3, sender: "2", body: "a question" },
      edit: { seq: 2, text: "an edit" },
    };
    a.drafts.save("c", draft);
    await settle();
    expect(b.drafts.get("c")).toEqual(draft);
    const c = await open();
    await c.drafts.load();
    expect(c.drafts.get("c")).toEqual(draft);
    vi.advanceTimersByTime(1);
    c.drafts.save("c", { text: "", replyTo: undefined, edit: undefined });
    await settle();
    expect([a.drafts.get("c"), storage.stored.size]).toEqual([{ text: "" }, 0]);
  });

  it("are not replaced by what the device has kept when that is read later", async () => {
    const { open, storage } = setup();
    await storage.saveDraft("c", { text: "kept" });
    await storage.saveDraft("d", { text: "kept too" });
    const a = await open();
    const loading = a.drafts.load();
    a.drafts.save("c", { text: "typed" });
    await loading;
    expect([a.drafts.get("c").text, a.drafts.get("d").text]).toEqual(["typed", "kept too"]);
    // Neither is an empty one, which is what sending leaves.
    const again = a.drafts.load();
    a.drafts.save("d", { text: "" });
    await again;
    expect(a.drafts.get("d").text).toBe("");
  });

  it("agree when both tabs write in the same millisecond", async () => {
    const { open } = setup();
    const [a, b] = [await open(), await open()];
    const replyTo = { seq: 1, sender: "2", body: "" };
    a.drafts.save("c", { text: "one" });
    b.drafts.save("c", { text: "one", replyTo });
    await settle();
    expect(a.drafts.get("c")).toEqual(b.drafts.get("c"));
  });

  it("are told to a tab whose database does not have them", async () => {
    const { open, storage } = setup();
    const a = await open();
    a.drafts.save("c", { text: "one" });
    await settle();
    storage.stored.clear();
    const b = await open();
    a.drafts.tell();
    await settle();
    expect(b.drafts.get("c")).toEqual({ text: "one" });
  });
});
