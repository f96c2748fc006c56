import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "zustand/vanilla";
import type { ClientFrame, Message, ServerFrame, Summary } from "../protocol/types";
import { SyncClient } from "./syncclient";
import { emptySyncState, type SyncState } from "./store";
import { readByOthers } from "./summary";

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

/** A page that is in sync, with a conversation whose timeline is loaded. */
async function setup(conversations: Summary[] = [summary()]) {
  const sent: ClientFrame[] = [];
  const stored: string[] = [];
  const removed: string[] = [];
  const failed: string[] = [];
  const accepted: [id: string, isMember?: (conversation: string) => boolean][] = [];
  const received: string[] = [];
  const store = createStore<SyncState>()(() => ({ ...emptySyncState, me }));
  const engine = new SyncClient(
    store,
    (f) => {
      sent.push(f);
      return true;
    },
    {
      accepted: (...answer) => accepted.push(answer),
      rejected: () => {},
      failed: (...failure) => failed.push(failure.join(" ")),
      stored: (id) => stored.push(id),
      removeConversation: (id) => removed.push(id),
    },
  );
  const arrived: string[] = [];
  engine.onMessage = (m) => received.push(m.client_id);
  engine.onReceived = (m) => arrived.push(m.client_id);
  const push = (m: Message, t: "message" | "edited" | "deleted" = "message") =>
    engine.handleFrame({ t, ...m } as ServerFrame);
  const bodies = () => store.getState().timelines.c!.messages.map((m) => m.body);
  const answer = async (f: object) => {
    engine.handleFrame(f as ServerFrame);
    await vi.advanceTimersByTimeAsync(0);
  };
  const listed = (id: string, all: Summary[], cursor: string) =>
    answer({ t: "synced", id, conversations: all, gone: [], failed: [], cursor, more: false });
  const open = (rev: number, messages: Message[] = []) => {
    const timeline = { messages, hasBefore: false, hasAfter: false, rev };
    store.setState({ timelines: { c: timeline } });
    engine.timelineLoaded("c");
  };
  engine.connected("one");
  await listed("1", conversations, "x");
  if (conversations.length > 0) open(1);
  sent.length = 0;
  return {
    accepted,
    engine,
    store,
    sent,
    stored,
    removed,
    failed,
    received,
    arrived,
    push,
    bodies,
    answer,
    listed,
    open,
  };
}

describe("SyncClient", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("takes the failures that a sync lists like those that are pushed", async () => {
    const { engine, failed, answer } = await setup();
    engine.handleFrame({ t: "failed", id: "1", code: "invalid", text: "", digest: "d1" });
    engine.connected("one");
    const more = { id: "2", code: "not_found", text: "", digest: "d2" };
    const page = { t: "synced", conversations: [], gone: [], cursor: "x", more: false };
    await answer({ ...page, id: "2", failed: [more] });
    expect(failed).toEqual(["1 invalid d1", "2 not_found d2"]);
    engine.connected("one");
    await answer({ ...page, id: "3" }); // of an earlier version
    expect(engine.cursor).toBe("x");
  });

  it("applies frames in the order of their rev", async () => {
    const { push, bodies, store, stored } = await setup();
    push(message(1, 2));
    push(message(2, 3));
    push(message(1, 4, { body: "edited" }), "edited");
    expect(bodies()).toEqual(["edited", "text 2"]);
    expect(store.getState().conversations.c).toMatchObject({ seq: 2, rev: 4, unread: 2 });
    expect(stored).toEqual([]); // others may have chosen the ids of this account's
    push(message(3, 5, { sender: me.id }));
    expect(stored).toEqual(["m3"]);
  });

  it("applies a duplicate push once", async () => {
    const { push, bodies } = await setup();
    push(message(1, 2));
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1"]);
  });

  it("keeps what comes too early, and requests what is missing before it", async () => {
    const { push, bodies, sent, answer, store, received, arrived } = await setup();
    push(message(3, 4));
    push(message(2, 3));
    expect(bodies()).toEqual([]);
    expect(sent).toEqual([{ t: "sync", id: "2", conversation: "c", rev: 1 }]);
    const messages = [message(1, 2), message(2, 3), message(3, 4)];
    await answer({ t: "changes", id: "2", conversation: "c", messages, rev: 4, more: false });
    expect(new Set(arrived)).toEqual(new Set(["m1", "m2", "m3"]));
    expect(bodies()).toEqual(["text 1", "text 2", "text 3"]);
    expect(store.getState().conversations.c).toMatchObject({ rev: 4, seq: 3, unread: 3 });
    expect(received).toEqual(["m2", "m3"]); // they were pushed
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(1);
  });

  it("applies what comes too early when the gap closes by itself", async () => {
    const { push, bodies, received } = await setup();
    push(message(2, 3));
    push(message(1, 2));
    expect(bodies()).toEqual(["text 1", "text 2"]);
    expect(received).toEqual(["m1", "m2"]);
  });

  it("requests the list for a conversation without a timeline", async () => {
    const { push, sent, listed, store, stored } = await setup([
      summary(),
      summary({ id: "other", seq: 2, rev: 5, unread: 2 }),
    ]);
    push(message(4, 7, { conversation: "other" }));
    expect(sent).toEqual([{ t: "sync", id: "2", cursor: "x" }]);
    const last = message(4, 7, { conversation: "other", sender: me.id, client_id: "own" });
    await listed("2", [summary({ id: "other", seq: 4, rev: 7, unread: 4, last })], "y");
    expect(store.getState().conversations.other).toMatchObject({ rev: 7, seq: 4, unread: 4 });
    expect(stored).toContain("own");
  });

  it("requests the list for a change that no message explains", async () => {
    const { push, sent, answer, listed, store } = await setup();
    push(message(1, 3)); // 2 was a new title
    const messages = [message(1, 3)];
    await answer({ t: "changes", id: "2", conversation: "c", messages, rev: 3, more: false });
    expect(sent[1]).toEqual({ t: "sync", id: "3", cursor: "x" });
    await listed("3", [summary({ title: "Crew", seq: 1, rev: 3, unread: 1 })], "y");
    expect(store.getState().conversations.c).toMatchObject({ title: "Crew", rev: 3, unread: 1 });
    expect(sent).toHaveLength(2);
  });

  it("shows a summary at once, and brings the timeline after it", async () => {
    const { engine, sent, listed, answer, bodies, store } = await setup();
    engine.connected("one");
    await listed("2", [summary({ seq: 1, rev: 2, unread: 1 })], "y");
    expect(store.getState().conversations.c).toMatchObject({ rev: 2, unread: 1 });
    expect(sent.at(-1)).toMatchObject({ conversation: "c", rev: 1 });
    expect(engine.cursor).toBe("x");
    await answer({
      t: "changes",
      id: "3",
      conversation: "c",
      messages: [message(1, 2)],
      rev: 2,
      more: false,
    });
    expect(bodies()).toEqual(["text 1"]);
    expect(engine.cursor).toBe("y");
  });

  it("sends a refused request again when the server wants it", async () => {
    const { push, sent, answer } = await setup();
    push(message(3, 4));
    const refusal = { t: "error", id: "2", code: "unavailable", text: "", retry_after_ms: 2000 };
    await answer(refusal);
    await vi.advanceTimersByTimeAsync(1999);
    expect(sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent[1]).toEqual({ t: "sync", id: "3", conversation: "c", rev: 1 });
  });

  it("has nothing sent while there is no connection", async () => {
    const { engine, push, sent, answer } = await setup();
    push(message(3, 4));
    await answer({ t: "error", id: "2", code: "unavailable", text: "" });
    engine.disconnected();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(1);
  });

  it("repairs a timeline that was opened as of an earlier rev", async () => {
    const { push, open, sent, bodies, answer } = await setup();
    push(message(1, 2));
    push(message(2, 3));
    open(2, [message(1, 2)]);
    expect(sent).toEqual([{ t: "sync", id: "2", conversation: "c", rev: 2 }]);
    await answer({
      t: "changes",
      id: "2",
      conversation: "c",
      messages: [message(2, 3)],
      rev: 3,
      more: false,
    });
    expect(bodies()).toEqual(["text 1", "text 2"]);
  });

  it("syncs on a resync, one sync at a time", async () => {
    const { engine, sent, listed } = await setup();
    engine.handleFrame({ t: "resync" });
    engine.handleFrame({ t: "resync" });
    expect(sent.length).toBe(1);
    await listed("2", [], "y");
    expect(sent.length).toBe(2);
    expect(sent[1]).toMatchObject({ cursor: "y" });
  });

  it("starts over when its cursor is refused: what the list does not name is gone", async () => {
    const { engine, sent, answer, listed, store } = await setup([summary(), summary({ id: "left" })]);
    engine.handleFrame({ t: "resync" });
    await answer({ t: "error", id: "2", code: "invalid", text: "" });
    await vi.advanceTimersByTimeAsync(1000);
    expect(sent[1]).toMatchObject({ t: "sync", cursor: "" });
    await listed("3", [summary()], "y");
    expect(Object.keys(store.getState().conversations)).toEqual(["c"]);
  });

  it("begins anew in another epoch, and only then", async () => {
    const { engine, store, sent, push, bodies, listed, open, removed } = await setup();
    const connect = async (epoch: string, all: Summary[], cursor: string) => {
      engine.disconnected();
      sent.length = 0;
      engine.connected(epoch);
      const [request] = sent as { id: string; cursor: string }[];
      if (epoch === "two" && cursor === "z")
        expect(store.getState()).toMatchObject({ ready: false, conversations: {}, timelines: {} });
      await listed(request!.id, all, cursor);
      return request!.cursor;
    };
    push(message(1, 2));
    push(message(2, 3));
    expect(await connect("one", [], "y")).toBe("x");
    expect(bodies()).toEqual(["text 1", "text 2"]);
    push(message(4, 5)); // waits for the one before it, which is lost

    // The second message is lost, and another has its place.
    expect(await connect("two", [summary({ seq: 1, rev: 2 })], "z")).toBe("");
    expect(store.getState()).toMatchObject({ ready: true, conversations: { c: { seq: 1, rev: 2 } } });
    expect(store.getState().removals).toEqual({ c: 1 }); // what was asked for before is void
    open(2, [message(1, 2)]);
    push(message(2, 3, { body: "in its place" }));
    expect(bodies()).toEqual(["text 1", "in its place"]);
    expect(store.getState().conversations.c).toMatchObject({ seq: 2, rev: 3 });
    expect(removed).toEqual([]); // what is unsent stays
    expect(await connect("two", [], "z2")).toBe("z");
  });

  it("deletes a conversation that the user was removed from", async () => {
    const { engine, store } = await setup();
    engine.handleFrame({ t: "removed", conversation: "c", rev: 2 });
    expect(store.getState().conversations.c).toBeUndefined();
    expect(store.getState().timelines.c).toBeUndefined();
  });

  it("ignores older marks, and clears the unread count of what was read on another device", async () => {
    const { engine, store, push } = await setup();
    push(message(1, 2));
    push(message(2, 3));
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 2, received: 2 });
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 1, received: 1 });
    expect(store.getState().conversations.c).toMatchObject({ read: 2, unread: 0 });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 2, received: 2 });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 1, received: 1 });
    expect(store.getState().marks.c![other.id]).toEqual({ read: 2, received: 2 });
  });

  it("forgets how far somebody has read who has left", async () => {
    const third = { id: "3", name: "chi", display_name: "Chi" };
    const { engine, store, listed } = await setup([summary({ seq: 9, members: 3, others_read: 7 })]);
    const read = () => readByOthers(store.getState().conversations.c!, store.getState().marks.c, me.id);
    const mark = (user: string, upTo: number) =>
      engine.handleFrame({ t: "mark", conversation: "c", user, read: upTo, received: upTo });
    mark(other.id, 3);
    mark(third.id, 8);
    expect(read()).toBe(8);
    const left = {
      t: "conversation",
      by: "1",
      conversation: summary({ rev: 2, members_rev: 2 }),
      left: [third],
    };
    engine.handleFrame(left as ServerFrame);
    expect(read()).toBe(3);
    engine.handleFrame({ t: "resync" });
    await listed("2", [summary({ rev: 2, members_rev: 2, seq: 9, others_read: 5 })], "y");
    expect(read()).toBe(5);
    // The same when the push was lost.
    mark(other.id, 6);
    engine.handleFrame({ t: "resync" });
    await listed("3", [summary({ rev: 3, members_rev: 3, seq: 9 })], "z");
    expect(read()).toBe(0);
  });

  it("tells the outbox what of its messages a page of history has", async () => {
    const { open, stored } = await setup();
    open(3, [message(1, 2), message(2, 3, { sender: me.id })]);
    expect(stored).toEqual(["m2"]);
  });

  it("tells the outbox, with what was accepted, in which conversations the user is", async () => {
    const { accepted, engine } = await setup();
    engine.handleFrame({ t: "accepted", id: "m1" });
    const [id, isMember] = accepted[0]!;
    expect([id, isMember!("c"), isMember!("gone")]).toEqual(["m1", true, false]);
  });

  it("asks for the user's role when it may have changed, and for nothing else", async () => {
    const { engine, store, sent, listed } = await setup();
    const changed = (rev: number, members_rev: number, joined?: object[]) =>
      engine.handleFrame({
        ...{ t: "conversation", by: "2", joined },
        conversation: summary({ rev, members_rev, title: "Crew" }),
      } as ServerFrame);
    changed(2, 1); // a new title
    changed(3, 3, [other]);
    expect(sent).toEqual([]);
    changed(4, 4);
    expect(sent).toEqual([{ t: "sync", id: "2", cursor: "x" }]);
    await listed("2", [summary({ rev: 4, members_rev: 4, title: "Crew", role: "admin" })], "y");
    expect(store.getState().conversations.c).toMatchObject({ rev: 4, title: "Crew", role: "admin" });
    expect(store.getState().users[other.id]).toEqual(other);
  });

  it("lists a conversation that the user was added to, or has made", async () => {
    const { engine, store, sent, listed } = await setup([]);
    engine.handleFrame({ t: "conversation", by: "2", conversation: summary(), joined: [me] } as ServerFrame);
    expect(sent).toMatchObject([{ t: "sync", cursor: "x" }]);
    await listed("2", [summary()], "y");
    engine.described(summary({ id: "made", kind: "direct", peer: other }));
    expect(Object.keys(store.getState().conversations)).toEqual(["c", "made"]);
    expect(store.getState().users[other.id]).toEqual(other);
    engine.handleFrame({ t: "message", ...message(1, 2, { conversation: "made" }) } as ServerFrame);
    expect(store.getState().conversations.made).toMatchObject({ seq: 1, rev: 2 });
    expect(sent).toHaveLength(1);
  });

  it("does not go back in marks that were pushed while the list was on its way", async () => {
    const direct = summary({ kind: "direct", seq: 9, peer: other });
    const { engine, store, answer } = await setup([direct]);
    engine.handleFrame({ t: "resync" });
    engine.handleFrame({ t: "mark", conversation: "c", user: other.id, read: 7, received: 8 });
    engine.handleFrame({ t: "mark", conversation: "c", user: me.id, read: 6, received: 6 });
    const listed = { ...direct, read: 5, unread: 4, peer_read: 5, peer_received: 6 };
    await answer({
      t: "synced",
      id: "2",
      conversations: [listed],
      gone: [],
      failed: [],
      cursor: "y",
      more: false,
    });
    expect(store.getState().marks.c![other.id]).toEqual({ read: 7, received: 8 });
    expect(store.getState().conversations.c).toMatchObject({ read: 6, unread: 3 });
  });

  it("removes the typing indicator after its time", async () => {
    const { engine, store } = await setup();
    engine.handleFrame({ t: "typing", conversation: "c", user: other.id });
    expect(Object.keys(store.getState().typing.c!)).toEqual([other.id]);
    await vi.advanceTimersByTimeAsync(6000);
    expect(store.getState().typing.c).toEqual({});
  });
});
