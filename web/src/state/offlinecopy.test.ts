// @vitest-environment jsdom
// What a device keeps to be read offline, in a database in memory.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RestClient } from "../net/rest";
import type { Message, Summary } from "../protocol/types";
import { CopyDatabase, discardCopies, noteCopy } from "../sync/copydatabase";
import { FakeBrowser } from "../sync/fakebrowser";
import type { Timeline } from "../sync/timeline";
import type { AppStore } from "./app";
import { createAppStore, setup } from "./fakeserver";
import { copiedMessages, maxConversations, OfflineCopy } from "./offlinecopy";

const ben = { id: "2", name: "ben", display_name: "Ben" };

const message = (conversation: string, seq: number, rev = seq, body = `text ${seq}`): Message => ({
  conversation,
  seq,
  rev,
  id: `${conversation}-${seq}`,
  sender: "2",
  client_id: `${conversation}-${seq}`,
  body,
  at: seq,
});
const summary = (id: string, rev: number, active_at = rev): Summary =>
  ({ id, kind: "group", title: id, seq: rev, rev, members_rev: 1, members: 2, active_at, read: 0, unread: 0 }) as Summary; // prettier-ignore
const timeline = (id: string, count: number): Timeline => ({
  messages: Array.from({ length: count }, (_, i) => message(id, i + 1)),
  hasBefore: false,
  hasAfter: false,
  rev: count,
});
const byId = (...all: Summary[]) => Object.fromEntries(all.map((c) => [c.id, c]));

let browser: FakeBrowser;
let opened: OfflineCopy[];
let failed: number;

/** A tab whose page is connected and has the whole list. */
function openTab(store: AppStore, epoch = "e1") {
  const { server, rest } = setup();
  const tab = {};
  const copy = new OfflineCopy({
    account: "1",
    store,
    rest,
    locks: browser.locks(tab),
    onNeeded: () => {},
    isVisible: () => true,
    onFailed: () => failed++,
  });
  opened.push(copy);
  copy.connected(epoch);
  copy.start();
  return { server, copy, tab };
}

const ready = (conversations: Record<string, Summary>, more: object = {}) =>
  createAppStore({ ready: true, connection: "open", conversations, users: { "2": ben }, ...more });

/** Has everything written that is not yet. */
async function write(copy: OfflineCopy) {
  // The browser gives the lock a moment after it was asked for.
  await new Promise((done) => setImmediate(done));
  for (let i = 0; i < 20; i++) await copy.leave();
}

/** What a page without a server would show. */
async function read(conversations: Record<string, Summary> = {}) {
  const store = createAppStore({ conversations });
  const copy = new OfflineCopy({
    account: "1",
    store,
    rest: new RestClient(),
    locks: browser.locks({}),
    onNeeded: () => {},
    isVisible: () => true,
    onFailed: () => failed++,
  });
  opened.push(copy);
  const list = await copy.load();
  if (list) store.setState({ conversations: byId(...list.conversations.map((c) => c.summary)) });
  return { list, texts: async (id: string) => (await copy.timeline(id))?.messages.map((m) => m.body) };
}

beforeEach(() => {
  localStorage.clear();
  browser = new FakeBrowser();
  opened = [];
  failed = 0;
});
afterEach(async () => {
  for (const copy of opened) copy.stop();
  noteCopy({ user: { id: "1", name: "aki", display_name: "Aki" }, session: "s1" });
  await discardCopies();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("OfflineCopy", () => {
  it("keeps the list with names and marks, and the latest messages", async () => {
    const marks = { "2": { read: 3, received: 3 } };
    const store = ready(byId(summary("a", 60), summary("b", 3)), {
      timelines: { a: timeline("a", 60) },
      marks: { a: marks },
      localReadMarks: { b: 2 },
    });
    await write(openTab(store).copy);
    const { list, texts } = await read();
    expect(list).toEqual({
      epoch: "e1",
      users: [ben],
      sizes: [{ id: "a", rev: 60, bytes: expect.any(Number) as number }],
      conversations: [
        { summary: summary("a", 60), marks },
        { summary: summary("b", 3), readHere: 2 },
      ],
    });
    const kept = await texts("a");
    expect(kept).toHaveLength(copiedMessages);
    expect(kept!.at(-1)).toBe("text 60");
    expect(await texts("b")).toBeUndefined();
  });

  it("writes many conversations in a few transactions", async () => {
    const writes = vi.spyOn(CopyDatabase.prototype, "write");
    const all = Array.from({ length: 200 }, (_, i) => summary(`c${i}`, i + 1));
    const store = ready(byId(...all));
    const { copy } = openTab(store);
    await write(copy);
    expect(writes.mock.calls.length).toBeLessThanOrEqual(8);
    expect((await read()).list!.conversations).toHaveLength(200);
    writes.mockClear();
    await write(copy);
    expect(writes).not.toHaveBeenCalled();
    store.setState((s) => ({ conversations: { ...s.conversations, c7: summary("c7", 500) } }));
    await write(copy);
    expect(writes).toHaveBeenCalledOnce();
    expect(writes.mock.calls[0]![0].conversations).toHaveLength(1);
  });

  it("writes only what differs from what an earlier page wrote", async () => {
    const all = () => byId(...Array.from({ length: 200 }, (_, i) => summary(`c${i}`, i + 1)));
    const last = { ...summary("c7", 500), last: message("c7", 500) };
    const first = openTab(ready({ ...all(), c7: last }));
    await write(first.copy);
    first.copy.stop();
    const writes = vi.spyOn(CopyDatabase.prototype, "write");
    const second = openTab(ready(structuredClone({ ...all(), c7: last })));
    await write(second.copy);
    expect(writes).not.toHaveBeenCalled();
    second.copy.stop();
    const users = { "2": { ...ben, display_name: "Benjamin" } };
    await write(openTab(ready({ ...all(), c7: last, c8: summary("c8", 501) }, { users })).copy);
    const [changes] = writes.mock.calls[0]!;
    expect(changes.conversations.map((c) => c.summary.id)).toEqual(["c8"]);
    expect(changes.users).toEqual([users["2"]]);
    expect(writes).toHaveBeenCalledOnce();
  });

  it("keeps no more conversations than a person is likely to open", async () => {
    const all = Array.from({ length: maxConversations + 5 }, (_, i) => summary(`c${i}`, i + 1));
    await write(openTab(ready(byId(...all))).copy);
    const { list } = await read();
    expect(list!.conversations).toHaveLength(maxConversations);
    expect(list!.conversations.map((c) => c.summary.id)).not.toContain("c4");
  });

  it("gives up the messages without activity when they take too much", async () => {
    const long = "x".repeat(16_000);
    const ids = Array.from({ length: 25 }, (_, i) => `c${String(i).padStart(2, "0")}`);
    const timelines = Object.fromEntries(
      ids.map((id) => [
        id,
        { ...timeline(id, 50), messages: timeline(id, 50).messages.map((m) => ({ ...m, body: long })) },
      ]),
    );
    const store = ready(byId(...ids.map((id, i) => summary(id, 50, i))), { timelines });
    await write(openTab(store).copy);
    const { list, texts } = await read();
    expect(list!.conversations).toHaveLength(25);
    expect(await texts("c24")).toHaveLength(50);
    expect(await texts("c00")).toBeUndefined();
  });

  it("applies what is pushed to messages that are not shown", async () => {
    await write(openTab(ready(byId(summary("a", 3)), { timelines: { a: timeline("a", 3) } })).copy);
    opened[0]!.stop();

    const store = ready(byId(summary("a", 3)));
    const { copy } = openTab(store);
    await write(copy);
    const push = (m: Message, t: "message" | "deleted") => {
      copy.applied([{ t: "pushed", frame: { ...m, t } }]);
      store.setState({ conversations: byId({ ...summary("a", m.rev), seq: 4 }) });
    };
    push(message("a", 4), "message");
    push({ ...message("a", 2, 5, ""), deleted_at: 5 }, "deleted");
    await write(copy);
    expect(await (await read()).texts("a")).toEqual(["text 1", "", "text 3", "text 4"]);
  });

  it("deletes messages of which it has not seen every change, and asks for them again", async () => {
    await write(openTab(ready(byId(summary("a", 3)), { timelines: { a: timeline("a", 3) } })).copy);
    opened[0]!.stop();

    const { copy, server } = openTab(ready(byId(summary("a", 5))));
    const items = [message("a", 1), message("a", 3, 5, "edited")];
    server.on("GET /conversations/a/messages", async () => {
      expect(await (await read()).texts("a")).toBeUndefined();
      return { items, has_before: false, has_after: false, rev: 5 };
    });
    await write(copy);
    await vi.waitFor(async () => expect(await (await read()).texts("a")).toEqual(["text 1", "edited"]), {
      timeout: 30_000,
    });
  });

  it("never shows messages that are older than the list", async () => {
    const store = ready(byId(summary("a", 5)), { timelines: { a: timeline("a", 3) } });
    await write(openTab(store).copy);
    expect(await (await read()).texts("a")).toBeUndefined();
  });

  it("deletes conversations that the person is not in any more", async () => {
    const store = ready(byId(summary("a", 3), summary("b", 3)), { timelines: { a: timeline("a", 3) } });
    const { copy } = openTab(store);
    await write(copy);
    store.setState({ ready: false, conversations: byId(summary("b", 3)), timelines: {} });
    await write(copy);
    expect((await read()).list!.conversations).toHaveLength(2); // the list may have more pages
    store.setState({ ready: true });
    await write(copy);
    const { list, texts } = await read(byId(summary("a", 3)));
    expect(list!.conversations.map((c) => c.summary.id)).toEqual(["b"]);
    expect(await texts("a")).toBeUndefined();
  });

  it("deletes everything of another epoch", async () => {
    await write(openTab(ready(byId(summary("a", 3)), { timelines: { a: timeline("a", 3) } })).copy);
    opened[0]!.stop();
    const { copy } = openTab(createAppStore(), "e2");
    await write(copy);
    expect((await read()).list).toBeNull();
  });

  it("is written by one tab, and by the one that the person looks at", async () => {
    const first = openTab(ready(byId(summary("a", 3))));
    const second = openTab(ready(byId(summary("a", 3), summary("b", 3))));
    await write(second.copy);
    expect((await read()).list).toBeNull();
    await write(first.copy);
    expect((await read()).list!.conversations).toHaveLength(1);
    second.copy.attended();
    await write(second.copy);
    expect((await read()).list!.conversations).toHaveLength(2);
  });

  it("is given up when it cannot follow any more", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const store = ready(byId(summary("a", 3)));
    const { copy } = openTab(store);
    await write(copy);
    vi.spyOn(CopyDatabase.prototype, "write").mockRejectedValue(
      new DOMException("full", "QuotaExceededError"),
    );
    store.setState({ conversations: byId(summary("a", 4)) });
    await write(copy);
    expect(failed).toBe(1);
  });

  it("does not come back once it was discarded, whoever still has it open", async () => {
    noteCopy({ user: { id: "1", name: "aki", display_name: "Aki" }, session: "s1" });
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const store = ready(byId(summary("a", 3)), { timelines: { a: timeline("a", 3) } });
    const { copy } = openTab(store);
    await write(copy);
    await discardCopies();
    store.setState({ conversations: byId(summary("a", 4)) });
    await write(copy);
    expect((await indexedDB.databases()).map((d) => d.name)).not.toContain("hikyaku-copy-1");
  });
});
