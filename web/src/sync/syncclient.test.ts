import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "zustand/vanilla";
import type { ClientFrame, Message, ServerFrame, Summary } from "../protocol/types";
import { SyncClient } from "./syncclient";
import { emptySyncState, type SyncState } from "./store";

const me = { id: "1", name: "aki", display_name: "Aki" };
const other = { id: "2", name: "ben", display_name: "Ben" };

function summary(over: Partial<Summary> = {}): Summary {
  return {
    id: "c", kind: "group", title: "Team", seq: 0, rev: 1, members_rev: 1, members: 2,
    created_at: 1, active_at: 1, role: "owner", read: 0, unread: 0, ...over,
  }; // prettier-ignore
}

function message(seq: number, rev: number, over: Partial<Message> = {}): Message {
  return {
    conversation: "c",
    seq,
    rev,
    id: String(seq),
    sender: "2",
    client_id: "m" + seq,
    body: "text " + seq,
    at: seq,
    ...over,
  };
}

function setup(
  conversations: Record<string, Summary> = { c: summary() },
  fetchConversation: (id: string) => Promise<Summary> = async () => summary(),
) {
  const sent: ClientFrame[] = [];
  const stored: string[] = [];
  const removed: string[] = [];
  const failed: string[] = [];
  const store = createStore<SyncState>()(() => ({
    ...emptySyncState,
    me,
    conversations,
    timelines: { c: { messages: [], hasBefore: false, hasAfter: false, rev: 1 } },
  }));
  const engine = new SyncClient(
    store,
    (f) => {
      sent.push(f);
      return true;
    },
    {
      accepted: () => {},
      rejected: () => {},
      failed: (...failure) => failed.push(failure.join(" ")),
      stored: (id) => stored.push(id),
      removeConversation: (id) => removed.push(id),
    },
    fetchConversation,
  );
  const push = (m: Message, t: "message" | "edited" | "deleted" = "message") =>
    engine.handleFrame({ t, ...m } as ServerFrame);
  const bodies = () => store.getState().timelines.c!.messages.map((m) => m.body);
  const answer = async (f: object) => {
    engine.handleFrame(f as ServerFrame);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { engine, store, sent, stored, removed, failed, push, bodies, answer };
}

describe("SyncClient", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("takes the failures that a sync lists like those that are pushed", async () => {
    const { engine, failed, answer } = setup();
    engine.handleFrame({ t: "failed", id: "1", code: "invalid", text: "", digest: "d1" });
    engine.connected();
    const more = { id: "2", code: "not_found", text: "", digest: "d2" };
    await answer({
      t: "synced",
      id: "1",
      conversations: [],
      gone: [],
      failed: [more],
      cursor: "x",
      more: false,
    });
    expect(failed).toEqual(["1 invalid d1", "2 not_found d2"]);
    await answer({ t: "synced", id: "2", conversations: [], gone: [], cursor: "x", more: false }); // of an earlier version
  });

  it("applies frames in the order of their rev", () => {
    const { push, bodies, store, stored } = setup();
    push(message(1, 2));
    push(message(2, 3));
    push(message(1, 4, { body: "edited" }), "edited");
    expect(bodies()).toEqual(["edited", "text 2"]);
    expect(store.getState().conversations.c).toMatchObject({ seq: 2, rev: 4, unread: 2 });
    expect(stored).toContain("m2");
  });

  it("applies a duplicate push once", () => {
    const { push, bodies } = setup();
    push(message(1, 2));
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1"]);
  });

  it("reorders out-of-order pushes without a sync", async () => {
    const { push, bodies, sent } = setup();
    push(message(2, 3));
    expect(bodies()).toEqual([]);
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1", "text 2"]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual([]);
  });

  it("requests what is missing after a gap", async () => {
    const { push, bodies, sent, answer, store } = setup();
    push(message(3, 4));
    await vi.advanceTimersByTimeAsync(300);
    expect(sent).toMatchObject([{ t: "sync", cursor: "" }]);
    await answer({
      t: "synced",
      id: "1",
      conversations: [summary({ seq: 3, rev: 4, unread: 3 })],
      gone: [],
      cursor: "x",
      more: false,
    });
    expect(sent[1]).toMatchObject({ t: "sync", conversation: "c", rev: 1 });
    await answer({
      t: "changes",
      id: "2",
      conversation: "c",
      messages: [message(1, 2), message(2, 3), message(3, 4)],
      rev: 4,
      more: false,
    });
    expect(bodies()).toEqual(["text 1", "text 2", "text 3"]);
    expect(store.getState().conversations.c).toMatchObject({ rev: 4, seq: 3 });
    expect(store.getState().ready).toBe(true);
  });

  it("detects a lost last push by the head check", async () => {
    const { engine, sent } = setup();
    engine.handleFrame({ t: "pong", conversations: 1, sum: 2, checked: true });
    await vi.advanceTimersByTimeAsync(999);
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toMatchObject([{ t: "sync" }]);
  });

  it("does not sync for pushes that are still in flight", async () => {
    const { engine, sent, push } = setup();
    engine.handleFrame({ t: "pong", conversations: 1, sum: 2, checked: true });
    push(message(1, 2));
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual([]);
  });

  it("syncs on a resync, one sync at a time", async () => {
    const { engine, sent, answer } = setup();
    engine.handleFrame({ t: "resync" });
    engine.handleFrame({ t: "resync" });
    expect(sent.length).toBe(1);
    await answer({ t: "synced", id: "1", conversations: [], gone: [], cursor: "x", more: false });
    expect(sent.length).toBe(2);
    expect(sent[1]).toMatchObject({ cursor: "x" });
  });

  it("starts over when its cursor is refused", async () => {
    const { engine, sent, answer } = setup();
    engine.handleFrame({ t: "resync" });
    await answer({ t: "synced", id: "1", conversations: [], gone: [], cursor: "x", more: false });
    engine.handleFrame({ t: "resync" });
    await answer({ t: "error", id: "2", code: "invalid", text: "" });
    expect(sent[2]).toMatchObject({ t: "sync", cursor: "" });
  });

  it("begins anew in another epoch, and only then", async () => {
    const { engine, store, sent, push, bodies, answer, removed } = setup({});
    const connect = async (epoch: string, page: object) => {
      engine.disconnected();
      sent.length = 0;
      engine.connected(epoch);
      const [request] = sent as { id: string; cursor: string }[];
      await answer({ t: "synced", id: request!.id, gone: [], more: false, conversations: [], ...page });
      return request!.cursor;
    };
    const open = (messages: Message[]) =>
      store.setState({ timelines: { c: { messages, hasBefore: false, hasAfter: false } } });
    expect(await connect("one", { conversations: [summary()], cursor: "x" })).toBe("");
    open([]);
    push(message(1, 2));
    push(message(2, 3));
    push(message(4, 5)); // waits for the one before it, which is lost
    expect(await connect("one", { cursor: "y" })).toBe("x");
    expect(bodies()).toEqual(["text 1", "text 2"]);

    // The second message is lost, and another has its place.
    const next = connect("two", { conversations: [summary({ seq: 1, rev: 2 })], cursor: "z" });
    expect(store.getState()).toMatchObject({ ready: false, conversations: {}, timelines: {} });
    expect(await next).toBe("");
    expect(store.getState()).toMatchObject({ ready: true, conversations: { c: { seq: 1, rev: 2 } } });
    open([message(1, 2)]);
    push(message(2, 3, { body: "in its place" }));
    expect(bodies()).toEqual(["text 1", "in its place"]);
    expect(store.getState().conversations.c).toMatchObject({ seq: 2, rev: 3 });
    expect(removed).toEqual([]); // what is unsent stays
    expect(await connect("two", { cursor: "z2" })).toBe("z");
  });

  it("deletes a conversation that the user was removed from", () => {
    const { engine, store } = setup();
    engine.handleFrame({ t: "removed", conversation: "c" });
    expect(store.getState().conversations.c).toBeUndefined();
    expect(store.getState().timelines.c).toBeUndefined();
  });

  it("ignores older marks, and clears the unread count of what was read on another device", () => {
    const { engine, store, push } = setup();
    push(message(1, 2));
    push(message(2, 3));
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 2, received: 2 });
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 1, received: 1 });
    expect(store.getState().conversations.c).toMatchObject({ read: 2, unread: 0 });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 2, received: 2 });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 1, received: 1 });
    expect(store.getState().marks.c![other.id]).toEqual({ read: 2, received: 2 });
  });

  it("keeps the later role, whatever order the answers come in", async () => {
    const answers: ((c: Summary) => void)[] = [];
    const { engine, store } = setup(undefined, () => new Promise((resolve) => answers.push(resolve)));
    for (const rev of [2, 3]) {
      const conversation = summary({ rev, members_rev: rev });
      engine.handleFrame({ t: "conversation", by: "2", conversation } as ServerFrame);
    }
    answers[1]!(summary({ rev: 3, members_rev: 3, role: "admin" }));
    answers[0]!(summary({ rev: 2, members_rev: 2, role: "member" }));
    await vi.advanceTimersByTimeAsync(0);
    expect(store.getState().conversations.c).toMatchObject({ rev: 3, role: "admin" });
  });

  it("does not bring back a conversation that the user was removed from while it was fetched", async () => {
    let resolve!: (c: Summary) => void;
    const { engine, store } = setup({}, () => new Promise((r) => (resolve = r)));
    engine.handleFrame({ t: "conversation", by: "2", conversation: summary(), joined: [me] } as ServerFrame);
    engine.handleFrame({ t: "removed", conversation: "c" });
    resolve(summary());
    await vi.advanceTimersByTimeAsync(0);
    expect(store.getState().conversations).toEqual({});
  });

  it("does not go back in marks that were pushed while the list was on its way", async () => {
    const direct = summary({ kind: "direct", seq: 9, peer: other });
    const { engine, store, answer } = setup({ c: direct });
    engine.handleFrame({ t: "resync" });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 7, received: 8 });
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 6, received: 6 });
    const listed = { ...direct, read: 5, unread: 4, peer_read: 5, peer_received: 6 };
    await answer({ t: "synced", id: "1", conversations: [listed], gone: [], cursor: "x", more: false });
    expect(store.getState().marks.c![other.id]).toEqual({ read: 7, received: 8 });
    expect(store.getState().conversations.c).toMatchObject({ read: 6, unread: 3 });
  });

  it("removes the typing indicator after its time", async () => {
    const { engine, store } = setup();
    engine.handleFrame({ t: "typing", conversation: "c", user: other.id });
    expect(Object.keys(store.getState().typing.c!)).toEqual([other.id]);
    await vi.advanceTimersByTimeAsync(6000);
    expect(store.getState().typing.c).toEqual({});
  });
});
