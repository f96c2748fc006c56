import { expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import { randomFrom } from "../sync/events";
import type { OutboxMessage } from "../sync/outbox";
import { activityOrder, byActivity, failedElsewhere, lastOutgoing, unreadOf } from "./app";

it("counts unread messages from the later of the read marks and the user's own last message", () => {
  const c = (over: Partial<Summary>) => ({ seq: 10, ...over }) as Summary;
  expect(unreadOf(c({ read: 4, unread: 6 }), 0)).toBe(6);
  expect(unreadOf(c({ read: 4, unread: 2 }), 0)).toBe(2);
  expect(unreadOf(c({ read: 4, unread: 6 }), 9)).toBe(1);
  expect(unreadOf(c({ read: 10, unread: 0 }), 0)).toBe(0);
});

it("finds the failed messages that no timeline shows", () => {
  const m = (conversation: string, state: OutboxMessage["state"]) =>
    ({ id: conversation + state, conversation, state }) as OutboxMessage;
  const outbox = [m("here", "failed"), m("gone", "failed"), m("gone", "accepted"), m("gone", "sending")];
  const conversations = { here: {} as Summary };
  expect(failedElsewhere({ ready: true, outbox, conversations })).toEqual([m("gone", "failed")]);
  // Before the first sync it is not known which conversations there are.
  expect(failedElsewhere({ ready: false, outbox, conversations: {} })).toEqual([]);
});

it("finds the user's message that a list shows before the stored ones", () => {
  const m = (id: string, state: string, at: number, conversation = "c") =>
    ({ id, conversation, state, at }) as OutboxMessage;
  const c = { id: "c", last: { client_id: "x", at: 10 } } as Summary;
  const shown = (...outbox: OutboxMessage[]) => lastOutgoing(outbox, c)?.id;
  expect(shown()).toBeUndefined();
  expect(shown(m("a", "sending", 5), m("b", "accepted", 6), m("d", "sending", 7, "other"))).toBe("b");
  expect(shown(m("x", "accepted", 10))).toBeUndefined(); // it is stored
  expect(shown(m("a", "failed", 11))).toBe("a");
  expect(shown(m("a", "failed", 9))).toBeUndefined(); // something has come since
  expect(lastOutgoing([m("a", "failed", 9)], { id: "c" } as Summary)?.id).toBe("a");
});

it("orders conversations by activity, and returns the same list while the order is the same", () => {
  const c = (id: string, active_at: number) => ({ id, active_at }) as Summary;
  const order = activityOrder();
  let conversations: Record<string, Summary> = {};
  let before: readonly string[] = [];
  const random = randomFrom(1);
  for (let i = 0; i < 500; i++) {
    const id = String(10 + random(40));
    conversations = { ...conversations, [id]: c(id, random(100)) };
    if (random(5) === 0) delete conversations[String(10 + random(40))];
    const now = order(conversations);
    const expected = byActivity(conversations).map((x) => x.id);
    expect(now).toEqual(expected);
    if (expected.join() === before.join()) expect(now).toBe(before);
    before = now;
  }
  expect(order({})).toEqual([]);
});
