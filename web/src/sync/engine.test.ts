import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "zustand/vanilla";
import type { ClientFrame, Message, ServerFrame, Summary } from "../protocol/types";
import { Engine } from "./engine";
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

function setup(conversations: Record<string, Summary> = { c: summary() }) {
  const sent: ClientFrame[] = [];
  const stored: string[] = [];
  const store = createStore<SyncState>()(() => ({
    ...emptySyncState,
    me,
    conversations,
    timelines: { c: { messages: [], hasBefore: false, hasAfter: false } },
  }));
  const engine = new Engine(
    store,
    (f) => {
      sent.push(f);
      return true;
    },
    {
      accepted: () => {},
      rejected: () => {},
      failed: () => {},
      stored: (id) => stored.push(id),
      dropConversation: () => {},
    },
    async () => summary(),
  );
  const push = (m: Message, t: "message" | "edited" | "deleted" = "message") =>
    engine.frame({ t, ...m } as ServerFrame);
  const bodies = () => store.getState().timelines.c!.messages.map((m) => m.body);
  const answer = async (f: object) => {
    engine.frame(f as ServerFrame);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { engine, store, sent, stored, push, bodies, answer };
}

describe("Engine", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("applies what follows", () => {
    const { push, bodies, store, stored } = setup();
    push(message(1, 2));
    push(message(2, 3));
    push(message(1, 4, { body: "edited" }), "edited");
    expect(bodies()).toEqual(["edited", "text 2"]);
    expect(store.getState().conversations.c).toMatchObject({ seq: 2, rev: 4, unread: 2 });
    expect(stored).toContain("m2");
  });

  it("shows a push that comes twice once", () => {
    const { push, bodies } = setup();
    push(message(1, 2));
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1"]);
  });

  it("puts what comes out of order in order, without asking", async () => {
    const { push, bodies, sent } = setup();
    push(message(2, 3));
    expect(bodies()).toEqual([]);
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1", "text 2"]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual([]);
  });

  it("asks for what is missing", async () => {
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

  it("finds a lost last push by the head check", async () => {
    const { engine, sent } = setup();
    engine.frame({ t: "pong", conversations: 1, sum: 2, checked: true });
    await vi.advanceTimersByTimeAsync(999);
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toMatchObject([{ t: "sync" }]);
  });

  it("is not alarmed by pushes that are under way", async () => {
    const { engine, sent, push } = setup();
    engine.frame({ t: "pong", conversations: 1, sum: 2, checked: true });
    push(message(1, 2));
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent).toEqual([]);
  });

  it("syncs when told to, once at a time", async () => {
    const { engine, sent, answer } = setup();
    engine.frame({ t: "resync" });
    engine.frame({ t: "resync" });
    expect(sent.length).toBe(1);
    await answer({ t: "synced", id: "1", conversations: [], gone: [], cursor: "x", more: false });
    expect(sent.length).toBe(2);
    expect(sent[1]).toMatchObject({ cursor: "x" });
  });

  it("begins anew when its cursor is refused", async () => {
    const { engine, sent, answer } = setup();
    engine.frame({ t: "resync" });
    await answer({ t: "synced", id: "1", conversations: [], gone: [], cursor: "x", more: false });
    engine.frame({ t: "resync" });
    await answer({ t: "error", id: "2", code: "invalid", text: "" });
    expect(sent[2]).toMatchObject({ t: "sync", cursor: "" });
  });

  it("drops a conversation that one is out of", () => {
    const { engine, store } = setup();
    engine.frame({ t: "removed", conversation: "c" });
    expect(store.getState().conversations.c).toBeUndefined();
    expect(store.getState().timelines.c).toBeUndefined();
  });

  it("keeps read marks from going back and clears unread on other devices", () => {
    const { engine, store, push } = setup();
    push(message(1, 2));
    push(message(2, 3));
    engine.frame({ t: "mark", conversation: "c", user: me.id, read: 2, received: 2 });
    engine.frame({ t: "mark", conversation: "c", user: me.id, read: 1, received: 1 });
    expect(store.getState().conversations.c).toMatchObject({ read: 2, unread: 0 });
    engine.frame({ t: "mark", conversation: "c", user: other.id, read: 2, received: 2 });
    engine.frame({ t: "mark", conversation: "c", user: other.id, read: 1, received: 1 });
    expect(store.getState().marks.c![other.id]).toEqual({ read: 2, received: 2 });
  });

  it("forgets typing", async () => {
    const { engine, store } = setup();
    engine.frame({ t: "typing", conversation: "c", user: other.id });
    expect(Object.keys(store.getState().typing.c!)).toEqual([other.id]);
    await vi.advanceTimersByTimeAsync(6000);
    expect(store.getState().typing.c).toEqual({});
  });
});
