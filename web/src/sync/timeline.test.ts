import { describe, expect, it } from "vitest";
import type { Message } from "../protocol/types";
import { append, prepend, trimBack, trimFront, upsert, windowSize, type Timeline } from "./timeline";

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
    expect(seqs(append(t, range(3, 5), false))).toEqual([1, 2, 3, 4, 5]);
  });

  it("adds pages at both ends, and only adjacent ones", () => {
    expect(seqs(prepend(at(5, 6), range(3, 4), true))).toEqual([3, 4, 5, 6]);
    expect(seqs(prepend(at(5, 6), range(4, 6), true))).toEqual([4, 5, 6]);
    expect(seqs(prepend(at(5, 6), range(1, 2), false))).toEqual([5, 6]);
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
