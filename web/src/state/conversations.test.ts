import { afterEach, expect, it, vi } from "vitest";
import type { Summary } from "../protocol/types";
import { readerCount } from "../sync/summary";
import { Conversations } from "./conversations";
import { setup } from "./fakeserver";

afterEach(() => vi.unstubAllGlobals());

it("hands on what a request is answered with", async () => {
  const { server, store, rest } = setup();
  const onSummary = vi.fn();
  const answer = { id: "c", rev: 1, peer: { id: "ben" } };
  server.on("POST /conversations", () => answer);
  expect(await new Conversations(store, rest, onSummary).createDirect("ben")).toEqual(answer);
  expect(onSummary.mock.calls).toEqual([[answer]]);
});

it("does not bring back a conversation that the user was removed from meanwhile", async () => {
  const { server, store, rest } = setup();
  server.on("POST /conversations/c/join", async () => {
    await Promise.resolve();
    store.setState({ removals: { c: 1 } });
    return { id: "c", rev: 4 };
  });
  const onSummary = vi.fn();
  await new Conversations(store, rest, onSummary).joinChannel("c");
  expect(onSummary).not.toHaveBeenCalled();
});

it("learns how many have read, once, and goes back in nothing", async () => {
  const c = { id: "c", kind: "group", members: 4, members_rev: 2 } as Summary;
  const { server, store, rest } = setup({
    me: { id: "1" } as never,
    conversations: { c },
    marks: { c: { 2: { read: 7, received: 8 } } },
  });
  const count = (seq: number) => readerCount(c, store.getState().marks.c, "1", seq);
  const member = (id: string, read: number) => ({ user: { id }, read });
  server.on("GET /conversations/c/members", () => ({
    items: [member("1", 9), member("2", 5), member("3", 6), member("4", 0)],
  }));
  const conversations = new Conversations(store, rest, () => {});
  expect(count(6)).toBeUndefined();
  await conversations.loadReadMarks("c");
  await conversations.loadReadMarks("c");
  expect(server.requests).toHaveLength(1);
  expect([count(7), count(6), count(8)]).toEqual([
    { count: 1, all: 3 },
    { count: 2, all: 3 },
    { count: 0, all: 3 },
  ]);
  expect(store.getState().marks.c![2]).toEqual({ read: 7, received: 8 });
});

it("does not ask who has read where the server does not tell", async () => {
  const large = { id: "large", kind: "channel", members: 65 } as Summary;
  const direct = { id: "direct", kind: "direct", members: 2 } as Summary;
  const { server, store, rest } = setup({ conversations: { large, direct } });
  const conversations = new Conversations(store, rest, () => {});
  await conversations.loadReadMarks("large");
  await conversations.loadReadMarks("direct");
  await conversations.loadReadMarks("gone");
  expect(server.requests).toEqual([]);
});
