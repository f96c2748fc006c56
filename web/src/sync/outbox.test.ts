import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame } from "../protocol/types";
import { messageDigest } from "./digest";
import { Outbox, type OutboxMessage, type OutboxStorage } from "./outbox";
import { MemoryStorage } from "./memorystorage";
import { openStorage } from "./storage";
import { Tabs } from "./tabs";

function setup(memory = new MemoryStorage(), storage: OutboxStorage = memory) {
  const sent: string[] = []; // the ids of sends, "-" and the id for withdrawals
  let shown: OutboxMessage[] = [];
  const outbox = new Outbox(
    storage,
    (f: ClientFrame) => {
      if (f.t !== "send" && f.t !== "withdraw") throw new Error(`the outbox sent ${f.t}`);
      sent.push(f.t === "send" ? f.id : `-${f.id}`);
      return true;
    },
    (m) => {
      shown = m;
    },
    new Tabs(""),
  );
  return { outbox, sent, memory, shown: () => shown };
}

describe("Outbox", () => {
  // The database in memory needs the other timers.
  beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it("saves what is written offline and sends it in order when connected", async () => {
    const { outbox, sent, memory } = setup();
    await outbox.add("1", "c", "one", 0, 0);
    await outbox.add("2", "c", "two", 0, 0);
    expect(sent).toEqual([]);
    expect([...memory.messages.keys()]).toEqual(["1", "2"]);
    outbox.connected(10);
    expect(sent).toEqual(["1", "2"]);
    outbox.accepted("1");
    outbox.stored("1");
    expect([...memory.messages.keys()]).toEqual(["2"]);
  });

  it("sends what the device can neither load nor save", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const db = await openStorage("outbox");
    db.close();
    const { outbox, sent, shown } = setup(undefined, db);
    await outbox.load();
    outbox.connected(10);
    await outbox.add("1", "c", "one", 0, 0);
    expect(sent).toEqual(["1"]);
    outbox.stored("1");
    expect(shown()).toEqual([]);
    await outbox.add("2", "c", "two", 0, 0);
    outbox.rejected({ id: "2", code: "not_found" });
    outbox.retry("2", "3");
    expect(sent).toEqual(["1", "2", "3"]);
  });

  it("ends the draft that a message was, and no later one", async () => {
    const db = await openStorage("draft");
    const { outbox } = setup(undefined, db);
    await db.saveDraft("c", { text: "one" });
    await outbox.add("1", "c", "one", 0, 0);
    expect(await db.drafts()).toEqual({});
    await db.saveDraft("c", { text: "two" });
    outbox.rejected({ id: "1", code: "not_found" });
    await vi.waitFor(async () => expect(await db.outbox()).toMatchObject([{ failed: "not_found" }]));
    expect(await db.drafts()).toEqual({ c: { text: "two" } });
    db.close();
  });

  it("saves again what the database has lost", async () => {
    const { outbox, memory } = setup();
    await outbox.add("1", "c", "one", 0, 0);
    await outbox.add("2", "c", "two", 0, 0);
    memory.messages.clear();
    await outbox.load(); // as when the database was opened again
    await vi.waitFor(() => expect([...memory.messages.keys()]).toEqual(["1", "2"]));
  });

  it("loads unsent messages after a reload", async () => {
    const { outbox, memory } = setup();
    await outbox.add("1", "c", "one", 0, 0);
    const next = setup(memory);
    await next.outbox.load();
    next.outbox.connected(10);
    expect(next.sent).toEqual(["1"]);
    expect(next.shown()[0]!.body).toBe("one");
  });

  it("resends what has no final answer on the next connection, under the same id", async () => {
    const { outbox, sent } = setup();
    outbox.connected(10);
    await outbox.add("1", "c", "one", 0, 0);
    outbox.disconnected();
    outbox.connected(10);
    expect(sent).toEqual(["1", "1"]);
  });

  it("waits as long as the server says, and continues in order", async () => {
    const { outbox, sent } = setup();
    outbox.connected(10);
    for (const id of ["1", "2", "3"]) await outbox.add(id, "c", id, 0, 0);
    await outbox.add("x", "other", "x", 0, 0);
    outbox.rejected({ id: "1", code: "rate_limited", retry_after_ms: 500 });
    outbox.rejected({ id: "2", code: "order", retry_after_ms: 100 });
    outbox.rejected({ id: "3", code: "order", retry_after_ms: 100 });
    sent.length = 0;
    vi.advanceTimersByTime(499);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent).toEqual(["1", "2", "3"]);
  });

  it("withdraws what was rejected for now and will not be sent again", async () => {
    const { outbox, sent } = setup();
    outbox.connected(10);
    for (const id of ["1", "2", "3", "4"]) await outbox.add(id, "c", id, 0, 0);
    outbox.rejected({ id: "1", code: "unavailable", retry_after_ms: 500 });
    for (const id of ["2", "3", "4"])
      outbox.rejected({ id, code: "order", retry_after_ms: 100, waits_for: "1" });
    sent.length = 0;
    outbox.stored("1"); // its rejection said only that the outcome was not known
    outbox.failed("2", "not_found"); // the same, and then its author was removed
    outbox.remove("3"); // by the person
    expect(sent).toEqual(["-1", "-2", "-3"]);
    vi.advanceTimersByTime(500);
    expect(sent).toEqual(["-1", "-2", "-3", "4"]);
    outbox.rejected({ id: "4", code: "unavailable", retry_after_ms: 500 });
    outbox.removeConversation("c");
    expect(sent).toEqual(["-1", "-2", "-3", "4", "-4"]);
    outbox.disconnected();
    outbox.connected(10);
    expect(sent).toHaveLength(5);
  });

  it("withdraws nothing that was not rejected, was sent again, or on another connection", async () => {
    const { outbox, sent } = setup();
    outbox.connected(10);
    for (const id of ["1", "2", "3"]) await outbox.add(id, "c", id, 0, 0);
    outbox.stored("1");
    outbox.rejected({ id: "2", code: "unavailable", retry_after_ms: 500 });
    vi.advanceTimersByTime(500);
    outbox.stored("2");
    outbox.rejected({ id: "3", code: "unavailable", retry_after_ms: 500 });
    outbox.disconnected();
    outbox.stored("3");
    expect(sent).toEqual(["1", "2", "3", "2"]);
  });

  it("withdraws what is rejected for now after it was removed", async () => {
    const { outbox, sent } = setup();
    outbox.connected(10);
    await outbox.add("1", "c", "one", 0, 0);
    outbox.remove("1");
    outbox.rejected({ id: "1", code: "unavailable", retry_after_ms: 500 });
    expect(sent).toEqual(["1", "-1"]);
    // A withdrawal was lost on the way: the next rejection says so.
    await outbox.add("2", "c", "two", 0, 0);
    outbox.rejected({ id: "2", code: "order", retry_after_ms: 100, waits_for: "1" });
    vi.advanceTimersByTime(100);
    expect(sent).toEqual(["1", "-1", "2", "-1", "2"]);
    await outbox.add("3", "c", "three", 0, 0);
    outbox.rejected({ id: "3", code: "order", retry_after_ms: 100, waits_for: "2" });
    expect(sent.slice(5)).toEqual(["3"]); // 2 will be sent again
  });

  it("reports what is rejected for good, and retries it on request", async () => {
    const { outbox, sent, shown, memory } = setup();
    outbox.connected(10);
    await outbox.add("1", "c", "one", 0, 0);
    outbox.rejected({ id: "1", code: "not_found" });
    expect(shown()[0]).toMatchObject({ state: "failed", code: "not_found" });
    outbox.disconnected();
    outbox.connected(10);
    expect(sent).toEqual(["1"]);
    expect(memory.messages.get("1")!.failed).toBe("not_found");
    // Under a new id: what has failed stays so.
    outbox.retry("1", "2");
    expect(sent).toEqual(["1", "2"]);
    expect(shown()).toMatchObject([{ id: "2", body: "one", state: "sending", code: undefined }]);
    await vi.waitFor(() => expect([...memory.messages.keys()]).toEqual(["2"]));
    expect(memory.messages.get("2")!.failed).toBeUndefined();
  });

  it("takes a failure for its own message alone", async () => {
    const { outbox, shown } = setup();
    outbox.connected(10);
    await outbox.add("1", "7", "one", 2, 0);
    outbox.accepted("1");
    outbox.failed("1", "conflict", messageDigest("7", 2, "another text"));
    outbox.failed("1", "conflict", messageDigest("8", 2, "one"));
    expect(shown()).toMatchObject([{ state: "accepted" }]);
    outbox.failed("1", "not_found", messageDigest("7", 2, "one"));
    expect(shown()).toMatchObject([{ state: "failed", code: "not_found" }]);
  });

  it("ends what was for a conversation that the user is no longer in as failed, for all to see", async () => {
    const { outbox, sent, shown, memory } = setup();
    outbox.connected(3);
    for (const id of ["1", "2", "3", "4"]) await outbox.add(id, "c", id, 0, 0);
    await outbox.add("x", "other", "x", 0, 0);
    outbox.accepted("1");
    outbox.removeConversation("c");
    // There is room on the connection for others again.
    expect(sent).toEqual(["1", "2", "3", "4", "x"]);
    outbox.removeConversation("gone");
    expect(shown().map((m) => [m.id, m.state, m.code])).toEqual([
      ["1", "failed", "unconfirmed"],
      ["2", "failed", "unconfirmed"],
      ["3", "failed", "unconfirmed"],
      ["4", "failed", "unconfirmed"],
      ["x", "sending", undefined],
    ]);
    outbox.stored("1");
    outbox.failed("2", "not_found");
    outbox.rejected({ id: "3", code: "not_found" });
    outbox.accepted("4");
    expect(shown().map((m) => [m.id, m.code])).toEqual([
      ["2", "not_found"],
      ["3", "not_found"],
      ["4", "unconfirmed"],
      ["x", undefined],
    ]);
    await vi.waitFor(() => expect(memory.messages.get("4")!.failed).toBe("unconfirmed"));
    outbox.remove("4");
    expect(memory.messages.has("4")).toBe(false);
  });

  it("retries what has no answer under the same id, until there is one", async () => {
    const { outbox, sent, shown, memory } = setup();
    outbox.connected(10);
    for (const id of ["1", "2"]) await outbox.add(id, "c", id, 0, 0);
    outbox.removeConversation("c");
    outbox.retry("1", "11");
    outbox.retry("2", "12");
    expect(sent).toEqual(["1", "2", "1", "2"]);
    await vi.waitFor(() => expect(memory.messages.get("2")!.failed).toBeUndefined());
    outbox.retry("2", "13"); // a second click
    expect(sent).toHaveLength(4);
    outbox.stored("1"); // it was stored the first time
    outbox.rejected({ id: "2", code: "not_found" });
    expect(shown()).toMatchObject([{ id: "2", state: "failed", code: "not_found" }]);
    outbox.retry("2", "14");
    expect(sent.slice(4)).toEqual(["14"]);
    await vi.waitFor(() => expect([...memory.messages.keys()]).toEqual(["14"]));
  });

  it("keeps what is accepted on a retry until it has come, if that can be", async () => {
    const { outbox, shown } = setup();
    outbox.connected(10);
    for (const id of ["1", "2"]) await outbox.add(id, "c" + id, id, 0, 0);
    for (const c of ["c1", "c2"]) outbox.removeConversation(c);
    for (const id of ["1", "2"]) {
      outbox.retry(id, "1" + id);
      outbox.accepted(id, (c) => c === "c1");
    }
    expect(shown()).toMatchObject([{ id: "1", state: "accepted" }]);
    outbox.failed("1", "not_found");
    expect(shown()).toMatchObject([{ id: "1", code: "not_found" }]);
  });

  it("says for certain that what was never sent is not sent", async () => {
    const { outbox, sent, shown } = setup();
    await outbox.add("1", "c", "one", 0, 0);
    outbox.removeConversation("c");
    expect(shown()[0]).toMatchObject({ state: "failed", code: "not_found" });
    outbox.connected(10);
    expect(sent).toEqual([]);
  });

  it("loads what could not be loaded before, without what has been stored meanwhile", async () => {
    const { outbox, sent, shown, memory } = setup();
    const earlier = setup(memory);
    for (const id of ["1", "2"]) await earlier.outbox.add(id, "c", id, 0, 0);
    vi.advanceTimersByTime(1000);
    await outbox.add("3", "c", "three", 0, 0);
    outbox.connected(10);
    const loading = outbox.load();
    outbox.stored("3");
    await loading;
    await outbox.add("4", "c", "four", 0, 0);
    expect(shown().map((m) => m.id)).toEqual(["1", "2", "4"]);
    expect(sent).toEqual(["3", "1", "2", "4"]);
    await outbox.load();
    expect(shown().map((m) => m.id)).toEqual(["1", "2", "4"]);
    expect((await memory.outbox()).map((m) => m.id)).toEqual(["1", "2", "4"]);
  });

  it("keeps the order of what an earlier page left and what is new", async () => {
    const memory = new MemoryStorage();
    const earlier = setup(memory);
    for (const id of ["1", "2"]) await earlier.outbox.add(id, "c", id, 0, 0);
    vi.advanceTimersByTime(1000);
    const late = setup(memory);
    await late.outbox.add("3", "c", "three", 0, 0);
    await late.outbox.load();
    expect((await memory.outbox()).map((m) => m.id)).toEqual(["1", "2", "3"]);
  });

  it("keeps at most the limit of unanswered messages in flight", async () => {
    const { outbox, sent } = setup();
    outbox.connected(2);
    for (const id of ["1", "2", "3"]) await outbox.add(id, "c", id, 0, 0);
    expect(sent).toEqual(["1", "2"]);
    outbox.accepted("1");
    expect(sent).toEqual(["1", "2", "3"]);
  });
});
