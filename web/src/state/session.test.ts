// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Summary, User } from "../protocol/types";
import { RestClient } from "../net/rest";
import { Tabs } from "../sync/tabs";
import { FakeStorage, setup, unauthenticated } from "./fakeserver";
import { Session } from "./session";

const me = { id: "1", name: "aki", display_name: "Aki" } as User;
const direct = (over: Partial<Summary> = {}) =>
  ({ id: "d", kind: "direct", seq: 0, rev: 1, read: 0, unread: 0, peer: { id: "2" }, ...over }) as Summary;

function open() {
  const fixture = setup({ me, conversations: { d: direct() } });
  const storage = new FakeStorage();
  const onRevoked = vi.fn();
  const onUnauthenticated = vi.fn();
  const rest = new RestClient(onUnauthenticated);
  const onOtherAccount = vi.fn();
  const session = new Session({
    ...{ ...fixture, rest, storage, account: me.id, tabs: new Tabs(me.id), dial: fixture.server.dial },
    ...{ onConnected: () => {}, onRevoked, onOtherAccount },
  });
  return { ...fixture, storage, onRevoked, onOtherAccount, onUnauthenticated, session };
}
const push = (seq: number, sender = "2") => ({
  ...{ t: "message", conversation: "d", seq, rev: seq + 1, id: String(seq), sender },
  ...{ client_id: "m" + seq, body: "text", at: seq },
});

describe("Session", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("synchronizes, sends what is unsent, and watches on each new connection", async () => {
    const { server, session, storage, store } = open();
    const unsent = { id: "m", order: 1, conversation: "d", body: "unsent", replyTo: 0, at: 0 };
    storage.messages.set("m", unsent);
    await session.start();
    server.hello();
    expect(store.getState().connection).toBe("open");
    expect(server.socket.sent.map((f) => f.t)).toEqual(["sync", "send", "watch"]);
    server.socket.drop();
    expect(store.getState().connection).toBe("waiting");
    session.reconnectNow();
    server.hello();
    expect(server.sockets).toHaveLength(2);
    expect(server.socket.sent.map((f) => f.t)).toEqual(["sync", "send", "watch"]);
  });

  it("shows nobody as online without a connection", async () => {
    const { server, session, store } = open();
    await session.start();
    server.hello();
    server.socket.receive({ t: "presence", states: [{ user: "2", state: "online" }] });
    server.socket.receive({ t: "typing", conversation: "d", user: "2" });
    expect(store.getState()).toMatchObject({ presence: { 2: { state: "online" } } });
    server.socket.drop();
    expect(store.getState()).toMatchObject({ connection: "waiting", typing: {} });
    expect(store.getState().presence).toEqual({});
    expect(store.getState().retryAt).toBeGreaterThanOrEqual(Date.now());
    session.stop();
  });

  it("reports messages of others that arrive to its listeners and to their sender", async () => {
    const { server, session } = open();
    const received: number[] = [];
    const unsubscribe = session.onMessage((m) => received.push(m.seq));
    await session.start();
    server.hello();
    const page = { conversations: [direct()], gone: [], failed: [], cursor: "x", more: false };
    server.socket.receive({ t: "synced", id: "1", ...page });
    server.socket.receive(push(1));
    server.socket.receive(push(2, me.id));
    vi.advanceTimersByTime(300);
    expect(server.socket.sentOf("mark")).toEqual([{ t: "mark", conversation: "d", read: 0, received: 1 }]);
    unsubscribe();
    server.socket.receive(push(3));
    expect(received).toEqual([1]);
  });

  it("reports what came while it was away to its sender, and what was read meanwhile", async () => {
    const { server, session } = open();
    const page = { gone: [], failed: [], cursor: "x", more: false };
    const received: number[] = [];
    session.onMessage((m) => received.push(m.seq));
    await session.start();
    server.hello();
    server.socket.receive({ t: "synced", id: "1", conversations: [direct()], ...page });
    server.socket.receive(push(1));
    vi.advanceTimersByTime(300);
    server.socket.drop();
    session.marks.markRead("d", 1);
    vi.advanceTimersByTime(300);
    session.reconnectNow();
    server.hello();
    expect(server.socket.sentOf("mark")).toEqual([{ t: "mark", conversation: "d", read: 1, received: 0 }]);
    const id = (server.socket.sentOf("sync")[0] as { id: string }).id;
    const missed = direct({ seq: 2, rev: 3, read: 1, unread: 1 });
    server.socket.receive({ t: "synced", id, conversations: [missed], ...page });
    vi.advanceTimersByTime(300);
    expect(server.socket.sentOf("mark").slice(1)).toEqual([
      { t: "mark", conversation: "d", read: 0, received: 2 },
    ]);
    expect(received).toEqual([1]);
    // The next one is lost on its way, and is found when one comes after it.
    server.socket.receive(push(4));
    await vi.advanceTimersByTimeAsync(2000);
    const { id: asked } = server.socket.sentOf("sync").at(-1) as { id: string };
    const found = direct({ seq: 4, rev: 5, read: 1, unread: 3 });
    server.socket.receive({ t: "synced", id: asked, conversations: [found], ...page });
    vi.advanceTimersByTime(300);
    expect(server.socket.sentOf("mark").at(-1)).toMatchObject({ conversation: "d", received: 4 });
  });

  it("does nothing on a connection of another account", async () => {
    const { server, session, storage, onOtherAccount } = open();
    storage.messages.set("m", { id: "m", order: 1, conversation: "d", body: "unsent", replyTo: 0, at: 0 });
    await session.start();
    session.marks.markRead("d", 1);
    server.hello(Date.now(), "2");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.socket.sent).toEqual([]);
    expect(server.socket.closed).toBe(true);
    expect(onOtherAccount).toHaveBeenCalledOnce();
    expect(storage.messages.get("m")).toMatchObject({ body: "unsent" });
  });

  it("asks why it cannot connect", async () => {
    const { server, session, onUnauthenticated } = open();
    server.on("GET /me", () => new Response(JSON.stringify({ code: "other_account" }), { status: 412 }));
    await session.start();
    server.socket.drop();
    await vi.waitFor(() => expect(onUnauthenticated).toHaveBeenCalledWith("other_account"));
    expect(server.accounts).toEqual(["1"]);
  });

  it("has messages wait for the connection", async () => {
    const { server, session, store } = open();
    await session.start();
    session.messages.send("d", "offline", 0);
    await vi.advanceTimersByTimeAsync(0);
    expect(store.getState().outbox).toMatchObject([{ body: "offline", state: "sending" }]);
    server.hello();
    expect(server.socket.sentOf("send")).toMatchObject([{ body: "offline" }]);
  });

  it("reports that the server has ended it", async () => {
    const { server, session, onRevoked } = open();
    await session.start();
    server.hello();
    server.socket.drop(4100);
    expect(onRevoked).toHaveBeenCalledOnce();
  });

  it("neither connects nor changes the store after it was stopped while loading", async () => {
    const { server, session, storage, store } = open();
    storage.messages.set("m", { id: "m", order: 1, conversation: "d", body: "unsent", replyTo: 0, at: 0 });
    const started = session.start();
    session.stop();
    const next = store.getState();
    await started;
    expect(server.sockets).toEqual([]);
    expect(store.getState()).toBe(next);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("heeds no answer after its end, and ends no other session by one", async () => {
    const { server, session, store, onUnauthenticated } = open();
    const answers: ((a: unknown) => void)[] = [];
    const answerLater = () => new Promise((resolve) => answers.push(resolve));
    for (const prefix of ["GET /conversations", "PATCH /me", "POST /conversations", "GET /users"])
      server.on(prefix, answerLater);
    const asked = [
      session.timelines.open("d"),
      session.conversations.createDirect("2"),
      session.users.find("b"),
      session.changeDisplayName("Akiko"),
      session.conversations.members("d"),
    ];
    const refused = Promise.all(asked.map((a) => expect(a).rejects.toMatchObject({ code: "unavailable" })));
    await vi.waitFor(() => expect(answers).toHaveLength(asked.length));
    session.stop();
    const next = store.getState();
    answers[0]!({ items: [], has_before: false, has_after: false, rev: 1 });
    answers[1]!({ id: "new", rev: 1 });
    answers[2]!({ items: [{ id: "2", display_name: "Ben" }] });
    answers[3]!({ ...me, display_name: "Akiko" });
    answers[4]!(unauthenticated());
    await refused;
    expect(store.getState()).toBe(next);
    expect(onUnauthenticated).not.toHaveBeenCalled();
  });

  it("leaves nothing running when it stops", async () => {
    const { server, session, storage } = open();
    await session.start();
    server.hello();
    session.marks.markRead("d", 1);
    session.users.show("9");
    server.socket.receive({ t: "typing", conversation: "d", user: "2" });
    session.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(server.socket.closed).toBe(true);
    expect(storage.closed).toBe(true);
  });
});
