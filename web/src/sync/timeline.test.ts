import { describe, expect, it } from "vitest";
import type { History, Message } from "../protocol/types";
import {
  append,
  applyChanges,
  prepend,
  trimBack,
  trimFront,
  upsert,
  windowSize,
  type Timeline,
} from "./timeline";

function m(seq: number, rev = seq): Message {
  return {
    conversation: "c",
    seq,
    rev,
    id: String(seq),
    sender: "1",
    client_id: "m" + seq,
    body: String(rev),
    at: seq,
  };
}
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => m(from + i));
const at = (from: number, to: number, over: Partial<Timeline> = {}): Timeline => ({
  messages: range(from, to),
  hasBefore: from > 1,
  hasAfter: false,
  rev: 50,
  ...over,
});
const page = (from: number, to: number, over: Partial<History> = {}): History => ({
  items: range(from, to),
  has_before: from > 1,
  has_after: false,
  rev: 50,
  ...over,
});
const seqs = (t: Timeline) => t.messages.map((x) => x.seq);

describe("timeline", () => {
  it("appends new messages, replaces changed ones, and ignores old ones", () => {
    let t = upsert(at(1, 2), m(3));
    expect(seqs(t)).toEqual([1, 2, 3]);
    t = upsert(t, m(2, 9));
    expect(t.messages[1]!.body).toBe("9");
    expect(upsert(t, m(2, 5))).toBe(t);
    expect(upsert(at(5, 6), m(2))).toEqual(at(5, 6));
  });

  it("detects missing messages", () => {
    const t = upsert(at(1, 2), m(4));
    expect(seqs(t)).toEqual([1, 2]);
    expect(t.hasAfter).toBe(true);
    expect(seqs(append(t, 2, page(3, 5)))).toEqual([1, 2, 3, 4, 5]);
  });

  it("adds pages at both ends, and only adjacent ones", () => {
    expect(seqs(prepend(at(5, 6), 5, page(3, 4)))).toEqual([3, 4, 5, 6]);
    expect(seqs(prepend(at(5, 6), 7, page(4, 6)))).toEqual([4, 5, 6]);
    const trimmed = at(5, 6, { hasAfter: true });
    expect(prepend(trimmed, 3, page(1, 2, { rev: 1 }))).toBe(trimmed);
    expect(append(trimmed, 8, page(9, 8, { rev: 1 }))).toBe(trimmed);
  });

  it("is of the older rev of its parts", () => {
    expect(prepend(at(5, 6), 5, page(3, 4, { rev: 40 })).rev).toBe(40);
    expect(prepend(at(5, 6), 5, page(3, 4, { rev: 60 })).rev).toBe(50);
    const t = at(5, 6, { hasAfter: true });
    expect(append(t, 6, page(7, 8, { rev: 40 })).rev).toBe(40);
    expect(append(t, 6, page(7, 8, { rev: 60 })).rev).toBe(50);
  });

  it("takes changes in the order of seq, and the rev of what continues its own", () => {
    // The third was edited after the fourth was sent.
    const t = applyChanges(at(1, 2), 50, [m(4, 52), m(3, 53), m(1, 54)], 54);
    expect(seqs(t)).toEqual([1, 2, 3, 4]);
    expect(t.messages[0]!.body).toBe("54");
    expect(t).toMatchObject({ rev: 54, hasAfter: false });
    // The answer to a question that was asked at a later rev leaves a gap.
    expect(applyChanges(at(1, 2, { rev: 40 }), 50, [m(3, 52)], 54).rev).toBe(40);
    expect(applyChanges(at(1, 2, { rev: 60 }), 50, [m(3, 52)], 54).rev).toBe(60);
  });

  it("is trimmed at one end, in a step of its own", () => {
    let t = at(1, windowSize * 2);
    expect(upsert(t, m(windowSize * 2 + 1)).messages.length).toBe(windowSize * 2 + 1);
    t = trimFront(t);
    expect(seqs(t)[0]).toBe(windowSize + 1);
    expect(t).toMatchObject({ hasBefore: true, hasAfter: false });
    expect(trimFront(t)).toBe(t);
    t = trimBack(at(1, windowSize * 2));
    expect(seqs(t).at(-1)).toBe(windowSize);
    expect(t).toMatchObject({ hasBefore: false, hasAfter: true });
    expect(trimBack(t)).toBe(t);
  });
});
