import { describe, expect, it } from "vitest";
import type { Summary } from "../protocol/types";
import { mergeSummary } from "./summary";

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
});
