import { describe, expect, it } from "vitest";
import type { Message } from "../../protocol/types";
import { firstUnread, buildRows } from "./rows";

const noon = new Date(2026, 5, 1, 12).getTime();
const m = (seq: number, at: number, sender = "2"): Message => ({
  conversation: "c",
  seq,
  rev: seq,
  id: String(seq),
  sender,
  client_id: "m" + seq,
  body: "x",
  at,
});

const whole = { hasBefore: false, hasAfter: false };
const later = { hasBefore: true, hasAfter: false };

describe("buildRows", () => {
  it("groups the messages of one sender, and separates days", () => {
    const rows = buildRows(
      [m(1, noon), m(2, noon + 1000), m(3, noon + 2000, "1"), m(4, noon + 86_400_000)],
      [],
      "1",
      0,
      whole,
    );
    expect(rows.map((r) => r.kind)).toEqual([
      "start",
      "day",
      "message",
      "message",
      "message",
      "day",
      "message",
    ]);
    expect(rows.flatMap((r) => (r.kind === "message" ? [r.startsGroup] : []))).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  it("adds the line of new messages before the first unread message", () => {
    const rows = buildRows([m(1, noon), m(2, noon + 1)], [], "1", 2, later);
    expect(rows.map((r) => r.kind)).toEqual(["day", "message", "new", "message"]);
  });

  it("adds one row for a message that is both stored and in the outbox", () => {
    const out = { id: "m1", conversation: "c", body: "x", replyTo: 0, at: noon, state: "accepted" as const };
    expect(buildRows([m(1, noon, "1")], [out], "1", 0, later).filter((r) => r.kind !== "day")).toHaveLength(
      1,
    );
    expect(buildRows([], [out], "1", 0, later).at(-1)).toMatchObject({ kind: "outgoing", key: "m1" });
  });

  it("says where messages are missing before the user's own latest ones", () => {
    const out = { id: "m9", conversation: "c", body: "x", replyTo: 0, at: noon, state: "sending" as const };
    const window = { hasBefore: true, hasAfter: true };
    const kinds = buildRows([m(1, noon, "1")], [out], "1", 0, window).map((r) => r.kind);
    expect(kinds).toEqual(["day", "message", "gap", "outgoing"]);
    expect(buildRows([m(1, noon)], [], "1", 0, window).map((r) => r.kind)).toEqual(["day", "message"]);
  });

  it("keeps messages apart to which others have given the same client id", () => {
    const same = [m(1, noon, "1"), m(2, noon), m(3, noon, "3")].map((x) => ({ ...x, client_id: "m1" }));
    const out = { id: "m2", conversation: "c", body: "x", replyTo: 0, at: noon, state: "sending" as const };
    const rows = buildRows([...same, m(4, noon), { ...m(5, noon), client_id: "m2" }], [out], "1", 0, later);
    expect(rows.filter((r) => r.kind === "outgoing")).toHaveLength(1);
    expect(new Set(rows.map((r) => r.key)).size).toBe(rows.length);
  });
});

describe("firstUnread", () => {
  it("skips the user's own messages", () => {
    const all = [m(1, noon), m(2, noon, "1"), m(3, noon)];
    expect(firstUnread(all, 1, "1")).toBe(3);
    expect(firstUnread(all, 3, "1")).toBe(0);
  });
});
