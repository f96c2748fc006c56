import { describe, expect, it } from "vitest";
import type { Message } from "../protocol/types";
import { advance, catchUp, changeLogLimit, emptyChangeLog, type ChangeLog } from "./changelog";
import type { Timeline } from "./timeline";

const m = (seq: number, rev: number) => ({ conversation: "c", seq, rev, body: String(rev) }) as Message;
const at = (rev: number): Timeline => ({
  messages: [m(1, 1), m(2, 2)],
  hasBefore: false,
  hasAfter: false,
  rev,
});
const bodies = (t: Timeline) => t.messages.map((x) => x.body);
const logOf = (from: number, ...changes: [before: number, rev: number, message?: Message][]) =>
  changes.reduce<ChangeLog>(
    (log, [before, rev, message]) =>
      advance({ timelines: {}, changeLogs: { c: log } }, "c", { before, rev, message }).changeLogs!.c!,
    emptyChangeLog(from),
  );

describe("change log", () => {
  it("is applied over a timeline of any rev that it covers", () => {
    const log = logOf(2, [2, 3, m(3, 3)], [3, 4], [4, 5, m(1, 5)]); // 4 is a new title
    expect(catchUp(at(2), log)).toMatchObject({ rev: 5 });
    expect(bodies(catchUp(at(2), log))).toEqual(["5", "2", "3"]);
    expect(bodies(catchUp(at(4), log))).toEqual(["5", "2"]);
    const ahead = at(6);
    expect(catchUp(ahead, log)).toBe(ahead);
    const behind = at(1);
    expect(catchUp(behind, log)).toBe(behind);
    expect(catchUp(behind, undefined)).toBe(behind);
  });

  it("begins again after changes that it has not seen", () => {
    // A summary took the conversation from 3 to 7.
    const log = logOf(2, [2, 3, m(3, 3)], [7, 8, m(2, 8)]);
    expect(log).toEqual({ since: 7, to: 8, messages: [m(2, 8)] });
    expect(catchUp(at(2), log).rev).toBe(2);
    expect(bodies(catchUp(at(7), log))).toEqual(["1", "8"]);
  });

  it("is bounded: the oldest changes make room", () => {
    const n = changeLogLimit + 10;
    const log = logOf(
      0,
      ...Array.from({ length: n }, (_, i) => [i, i + 1, m(1, i + 1)] as [number, number, Message]),
    );
    expect(log.messages).toHaveLength(changeLogLimit);
    expect(catchUp(at(9), log).rev).toBe(9);
    expect(catchUp(at(10), log).rev).toBe(n);
  });

  it("is kept for conversations that are open, or about to be", () => {
    const change = { before: 2, rev: 3, message: m(3, 3) };
    expect(advance({ timelines: {}, changeLogs: {} }, "c", change)).toEqual({});
    const { timelines, changeLogs } = advance({ timelines: { c: at(2) }, changeLogs: {} }, "c", change);
    expect(bodies(timelines!.c!)).toEqual(["1", "2", "3"]);
    expect(changeLogs!.c).toEqual({ since: 2, to: 3, messages: [m(3, 3)] });
  });
});
