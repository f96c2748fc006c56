import { describe, expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import { Machine } from "./syncstate";

const summary = (rev: number): Summary => ({
  id: "c", kind: "group", title: "Team", seq: 0, rev, members_rev: 1, members: 2,
  created_at: 1, active_at: 1, role: "owner", read: 0, unread: 0,
}); // prettier-ignore

/** A page that is in sync, and lists a change of a conversation that is open. */
function listed(resync: { lost?: boolean }) {
  const page = new Machine();
  const list = (id: string, rev: number) =>
    page.handle(0, {
      t: "synced",
      id,
      conversations: [summary(rev)],
      gone: [],
      failed: [],
      cursor: id,
      more: false,
    });
  page.connected(0, "1", "e");
  list("1", 1);
  page.loaded(0, "c", 1);
  page.handle(0, { t: "resync", ...resync });
  return { page, out: list("2", 2) };
}

describe("what a list has beyond what was seen", () => {
  it("may be on its way", () => {
    const { page, out } = listed({});
    expect(out.send).toEqual([]);
    expect(page.tick(999).send).toEqual([]);
    expect(page.tick(1000).send).toMatchObject([{ t: "sync", conversation: "c", rev: 1 }]);
  });

  it("is asked for at once while pushes do not arrive", () => {
    expect(listed({ lost: true }).out.send).toMatchObject([{ t: "sync", conversation: "c", rev: 1 }]);
  });
});
