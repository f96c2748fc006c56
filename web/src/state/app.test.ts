import { expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import type { OutboxMessage } from "../sync/outbox";
import { failedElsewhere, unreadOf } from "./app";

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
