import { expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import { unreadOf } from "./app";

it("counts unread messages from the later of the read marks and the user's own last message", () => {
  const c = (over: Partial<Summary>) => ({ seq: 10, ...over }) as Summary;
  expect(unreadOf(c({ read: 4, unread: 6 }), 0)).toBe(6);
  expect(unreadOf(c({ read: 4, unread: 2 }), 0)).toBe(2);
  expect(unreadOf(c({ read: 4, unread: 6 }), 9)).toBe(1);
  expect(unreadOf(c({ read: 10, unread: 0 }), 0)).toBe(0);
});
