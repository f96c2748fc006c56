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
const logOf = (from: number, ...changes: [rev: number, message?: Message][]) =>
  changes.reduce<ChangeLog>(
    (log, [rev, message]) =>
      advance({ timelines: {}, changeLogs: { c: log } }, "c", { rev, message }).changeLogs!.c!,
    emptyChangeLog(from),
  );

describe("change log", () => {
  it("is applied over a timeline of any rev that it covers", () => {
    const log = logOf(2, [3, m(3, 3)], [4], [5, m(1, 5)]); // 4 is a new title
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
    const log = logOf(2, [3, m(3, 3)], [8, m(2, 8)]);
    expect(log).toEqual({ since: 7, to: 8, messages: [m(2, 8)] });
    expect(catchUp(at(2), log).rev).toBe(2);
    expect(bodies(catchUp(at(7), log))).toEqual(["1", "8"]);
  });

  it("is bounded: the oldest changes make room", () => {
    const n = changeLogLimit + 10;
    const log = logOf(0, ...Array.from({ length: n }, (_, i) => [i + 1, m(1, i + 1)] as [number, Message]));
    expect(log.messages).toHaveLength(changeLogLimit);
    expect(catchUp(at(9), log).rev).toBe(9);
    expect(catchUp(at(10), log).rev).toBe(n);
  });

  it("does not begin again with a change that it has", () => {
    const log = logOf(2, [3, m(3, 3)], [4, m(1, 4)]);
    const { timelines, changeLogs } = advance({ timelines: { c: at(2) }, changeLogs: { c: log } }, "c", {
      rev: 3,
      message: m(3, 3),
    });
    expect(changeLogs!.c).toBe(log);
    expect(timelines!.c).toMatchObject({ rev: 4 });
    // A timeline that is older than the log takes its next change nevertheless.
    const later = advance({ timelines: { c: at(2) }, changeLogs: { c: logOf(5, [6]) } }, "c", { rev: 3 });
    expect(later.timelines!.c).toMatchObject({ rev: 3 });
  });

  it("is kept for conversations that are open, or about to be", () => {
    const change = { rev: 3, message: m(3, 3) };
    expect(advance({ timelines: {}, changeLogs: {} }, "c", change)).toEqual({});
    const { timelines, changeLogs } = advance({ timelines: { c: at(2) }, changeLogs: {} }, "c", change);
    expect(bodies(timelines!.c!)).toEqual(["1", "2", "3"]);
    expect(changeLogs!.c).toEqual({ since: 2, to: 3, messages: [m(3, 3)] });
  });
});
