import { afterEach, expect, it, vi } from "vitest";
import type { Summary } from "../protocol/types";
import { Conversations } from "./conversations";
import { setup } from "./fakeserver";

afterEach(() => vi.unstubAllGlobals());

it("stores what it creates, with the peer", async () => {
  const { server, store, rest } = setup();
  server.on("POST /conversations", (_, body) => ({
    id: "c",
    rev: 1,
    peer: { id: (body as { user: string }).user },
  }));
  expect(await new Conversations(store, rest).createDirect("ben")).toMatchObject({ id: "c" });
  expect(store.getState().conversations.c).toMatchObject({ rev: 1 });
  expect(store.getState().users.ben).toEqual({ id: "ben" });
});

it("does not replace a later revision that was pushed meanwhile", async () => {
  const { server, store, rest } = setup();
  server.on("PATCH /conversations/c", () => {
    store.setState({ conversations: { c: { id: "c", rev: 5, title: "pushed" } as Summary } });
    return { id: "c", rev: 4, title: "answered" };
  });
  await new Conversations(store, rest).update("c", "answered", "");
  expect(store.getState().conversations.c).toMatchObject({ rev: 5, title: "pushed" });
});

it("does not bring back a conversation that the user was removed from meanwhile", async () => {
  const { server, store, rest } = setup();
  server.on("POST /conversations/c/join", async () => {
    await Promise.resolve();
    store.setState({ removals: { c: 1 } });
    return { id: "c", rev: 4 };
  });
  await new Conversations(store, rest).joinChannel("c");
  expect(store.getState().conversations).toEqual({});
});
