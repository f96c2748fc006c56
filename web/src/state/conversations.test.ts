import { afterEach, expect, it, vi } from "vitest";
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
