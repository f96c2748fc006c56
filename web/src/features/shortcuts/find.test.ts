import { expect, it } from "vitest";
import type { Summary } from "../../protocol/types";
import { choicesOf, find } from "./find";

const conversation = (id: string, title: string, rest: Partial<Summary> = {}): Summary => ({
  ...{ id, kind: "group", title, role: "member", members: 2, members_rev: 0, created_at: 0 },
  ...{ seq: 0, rev: 0, unread: 0, read: 0, active_at: 0 },
  ...rest,
});

const ben = { id: "u1", name: "b3n", display_name: "Bén Suzuki", created_at: 0 };
const list = [
  conversation("old", "The new tests", { active_at: 1 }),
  conversation("late", "Test plans", { active_at: 9 }),
  conversation("unread", "Contests", { active_at: 2, seq: 3, unread: 3 }),
  conversation("ben", "", { active_at: 5, kind: "direct", peer: { ...ben, display_name: "Ben" } }),
  conversation("kana", "タナカさん", { active_at: 3 }),
];
const state = {
  conversations: Object.fromEntries(list.map((c) => [c.id, c])),
  users: { u1: ben },
  localReadMarks: {},
};
const found = (text: string) => find(choicesOf(state), text).map((c) => c.id);

it.each([
  ["", ["unread", "late", "ben", "kana", "old"]],
  ["test", ["late", "old", "unread"]],
  ["ben", ["ben"]],
  ["@b3n", ["ben"]],
  ["suzuki", ["ben"]],
  ["ﾀﾅｶ", ["kana"]],
  ["たなか", ["kana"]],
  ["nobody", []],
])("finds %j", (text, ids) => {
  expect(found(text)).toEqual(ids);
});

it("counts what was read on this device just now", () => {
  expect(choicesOf({ ...state, localReadMarks: { unread: 3 } })[0]!.id).toBe("late");
});
