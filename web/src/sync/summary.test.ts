import { describe, expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import { mergeSummary, readByOthers } from "./summary";

const c = (over: Partial<Summary>) =>
  ({
    rev: 5,
    members_rev: 1,
    seq: 9,
    read: 4,
    unread: 5,
    title: "stored",
    role: "member",
    ...over,
  }) as Summary;

describe("mergeSummary", () => {
  it("takes what is not known yet, and what is as new or newer", () => {
    expect(mergeSummary(undefined, c({}))).toEqual(c({}));
    expect(mergeSummary(c({}), c({ rev: 5, title: "same" })).title).toBe("same");
    expect(mergeSummary(c({}), c({ rev: 6, title: "newer" }))).toEqual(c({ rev: 6, title: "newer" }));
  });

  it("does not go back in rev", () => {
    expect(mergeSummary(c({}), c({ rev: 4, seq: 8, title: "older" }))).toEqual(c({}));
  });

  it("does not go back in what was read, whichever is newer", () => {
    expect(mergeSummary(c({ read: 7, unread: 2 }), c({ rev: 6, seq: 10, unread: 6 }))).toMatchObject({
      rev: 6,
      read: 7,
      unread: 3,
    });
    expect(mergeSummary(c({}), c({ rev: 4, seq: 8, read: 7, unread: 1 }))).toMatchObject({
      rev: 5,
      read: 7,
      unread: 2,
    });
  });

  it("takes the role from the later membership", () => {
    const admin = { members_rev: 3, role: "admin" } as const;
    expect(mergeSummary(c(admin), c({ rev: 6, members_rev: 2 })).role).toBe("admin");
    expect(mergeSummary(c({}), c({ rev: 4, ...admin })).role).toBe("admin");
  });

  it("does not go back in what others have read, whichever is newer", () => {
    expect(mergeSummary(c({ others_read: 7 }), c({ rev: 6 })).others_read).toBe(7);
    expect(mergeSummary(c({}), c({ rev: 4, others_read: 8 }))).toMatchObject({ rev: 5, others_read: 8 });
    expect(mergeSummary(c({ others_read: 7 }), c({ others_read: 8 })).others_read).toBe(8);
  });
});

describe("mergeSummary, when members have changed", () => {
  it("takes what others have read from the later members, also if that is less", () => {
    const before = c({ members_rev: 3, others_read: 7 });
    expect(mergeSummary(before, c({ rev: 6, members_rev: 6, others_read: 5 })).others_read).toBe(5);
    expect(mergeSummary(before, c({ rev: 6, members_rev: 6 }))).toEqual(c({ rev: 6, members_rev: 6 }));
    const after = c({ rev: 6, members_rev: 6, others_read: 5 });
    expect(mergeSummary(after, before)).toEqual(after);
    const nobody = c({ rev: 6, members_rev: 6 });
    expect(mergeSummary(nobody, before)).toEqual(nobody);
  });
});

describe("readByOthers", () => {
  const mark = (read: number) => ({ read, received: read });

  it("takes the highest mark, whether it was pushed or came with the summary", () => {
    expect(readByOthers(c({}), undefined, "1")).toBe(0);
    expect(readByOthers(c({ others_read: 3 }), { "2": mark(2) }, "1")).toBe(3);
    expect(readByOthers(c({ others_read: 3 }), { "2": mark(2), "3": mark(5) }, "1")).toBe(5);
    expect(readByOthers(c({}), { "1": mark(9) }, "1")).toBe(0); // one's own
  });
});
