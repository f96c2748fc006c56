import { describe, expect, it } from "vitest";
import type { Row } from "./rows";
import {
  frontChanged,
  initialScroll,
  lastVisibleSeq,
  scrollForRows,
  scrollForViewport,
  type ScrollState,
} from "./scroll";

const message = (seq: number) =>
  ({ kind: "message", key: "m" + seq, message: { seq }, startsGroup: true }) as Row;
const outgoing = (id: string) => ({ kind: "outgoing", key: id, message: { id }, startsGroup: true }) as Row;
const line: Row = { kind: "new", key: "new" };
const day: Row = { kind: "day", key: "day", at: 0 };
const opened = { loaded: true, hasRead: true };
const at = (over: Partial<ScrollState> = {}): ScrollState => ({
  positioned: true,
  atEnd: true,
  lastKey: "m2",
  ...over,
});

describe("opening a timeline", () => {
  it("waits for the messages", () => {
    const start = initialScroll([]);
    expect(scrollForRows(start, [], { loaded: false, hasRead: true })).toEqual({
      state: start,
      follows: false,
    });
    expect(scrollForRows(start, [outgoing("a")], { loaded: false, hasRead: true }).target).toBeUndefined();
    expect(scrollForRows(start, [], opened).target).toBeUndefined();
  });

  it("starts at the end when there is nothing new", () => {
    const { state, target } = scrollForRows(initialScroll([]), [day, message(1), message(2)], opened);
    expect(target).toEqual({ index: 2, align: "end" });
    expect(state).toEqual({ positioned: true, atEnd: true, lastKey: "m2" });
  });

  it("starts with the row above the line of new messages", () => {
    const rows = [day, message(1), line, message(2)];
    for (const start of [initialScroll([]), initialScroll(rows)]) {
      const { state, target, follows } = scrollForRows(start, rows, opened);
      expect(target).toEqual({ index: 1, align: "start" });
      expect(state).toEqual({ positioned: true, atEnd: false, lastKey: "m2" });
      expect(follows).toBe(false);
    }
    expect(scrollForRows(initialScroll([]), [line, message(2)], opened).target).toEqual({
      index: 0,
      align: "start",
    });
  });

  it("starts at the end when nothing was read before", () => {
    const rows = [day, line, message(1)];
    const { target, state } = scrollForRows(initialScroll([]), rows, { loaded: true, hasRead: false });
    expect(target).toEqual({ index: 2, align: "end" });
    expect(state.atEnd).toBe(true);
  });

  it("starts with the user's own message that is not stored yet", () => {
    const rows = [message(1), line, message(2), outgoing("a")];
    const { target, follows } = scrollForRows(initialScroll([]), rows, opened);
    expect(target).toEqual({ index: 3, align: "end" });
    expect(follows).toBe(true);
  });
});

describe("new rows", () => {
  it("are followed at the end", () => {
    const { target, follows, state } = scrollForRows(at(), [message(1), message(2), message(3)], opened);
    expect(target).toEqual({ index: 2, align: "end" });
    expect(follows).toBe(true);
    expect(state.lastKey).toBe("m3");
  });

  it("do not move what is read further up", () => {
    const { target, follows, state } = scrollForRows(at({ atEnd: false }), [message(2), message(3)], opened);
    expect(target).toBeUndefined();
    expect(follows).toBe(false);
    expect(state.lastKey).toBe("m3");
  });

  it("are followed from anywhere when the user wrote them", () => {
    const { target } = scrollForRows(at({ atEnd: false }), [message(2), outgoing("a")], opened);
    expect(target).toEqual({ index: 1, align: "end" });
  });

  it("at the front change nothing", () => {
    const { target, state } = scrollForRows(at(), [message(0), message(1), message(2)], opened);
    expect(target).toBeUndefined();
    expect(state).toEqual(at());
  });

  it("are not followed again when a message that was sent is stored", () => {
    const sent = scrollForRows(at(), [message(2), outgoing("m3")], opened).state;
    expect(scrollForRows(sent, [message(2), message(3)], opened)).toMatchObject({ follows: false });
  });
});

describe("scrolling", () => {
  const view = (offset: number) => ({ offset, height: 500, contentHeight: 5000 });

  it.each([
    ["at the end", 4500, false, { atEnd: true, away: false, loadOlder: false, loadNewer: true }],
    ["near the end", 4421, false, { atEnd: true, away: false, loadOlder: false, loadNewer: true }],
    ["above the end", 4419, false, { atEnd: false, away: true, loadOlder: false, loadNewer: true }],
    ["at the end of a window", 4500, true, { atEnd: false, away: false, loadOlder: false, loadNewer: true }],
    ["in the middle", 2000, false, { atEnd: false, away: true, loadOlder: false, loadNewer: false }],
    ["near the front", 799, false, { atEnd: false, away: true, loadOlder: true, loadNewer: false }],
  ])("%s", (_, offset, hasAfter, want) => {
    const { state, ...decision } = scrollForViewport(at(), view(offset), hasAfter);
    expect({ atEnd: state.atEnd, ...decision }).toEqual(want);
  });
});

describe("the window", () => {
  it.each([
    ["grows at the front", { first: 50, last: 60 }, { first: 40, last: 60 }, true],
    ["is trimmed at the front", { first: 40, last: 60 }, { first: 50, last: 60 }, true],
    ["grows at the end", { first: 50, last: 60 }, { first: 50, last: 70 }, false],
    ["is another place", { first: 50, last: 60 }, { first: 1, last: 20 }, false],
    ["is loaded", { first: 0, last: 0 }, { first: 1, last: 20 }, false],
  ])("%s", (_, before, now, keeps) => {
    expect(frontChanged(before, now)).toBe(keeps);
  });
});

describe("the last visible message", () => {
  it("is the row itself or one a little above", () => {
    const rows = [message(1), day, line, outgoing("a"), outgoing("b"), outgoing("c")];
    expect(lastVisibleSeq(rows, 0)).toBe(1);
    expect(lastVisibleSeq(rows, 4)).toBe(1);
    expect(lastVisibleSeq(rows, 5)).toBe(0);
    expect(lastVisibleSeq(rows, 99)).toBe(0);
    expect(lastVisibleSeq([], 0)).toBe(0);
  });
});
