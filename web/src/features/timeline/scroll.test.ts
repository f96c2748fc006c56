import { describe, expect, it } from "vitest";
import type { Row } from "./rows";
import {
  anchorAt,
  frontChanged,
  initialScroll,
  lastVisibleSeq,
  offsetToShow,
  readInView,
  scrollForRows,
  scrollForSize,
  scrollForViewport,
  type ScrollState,
} from "./scroll";

const message = (seq: number) =>
  ({ kind: "message", key: "m" + seq, message: { seq }, startsGroup: true }) as Row;
const outgoing = (id: string) => ({ kind: "outgoing", key: id, message: { id }, startsGroup: true }) as Row;
const line: Row = { kind: "new", key: "new" };
const day: Row = { kind: "day", key: "day", at: 0 };
const shown = { loaded: true, missing: 0, height: 400 };
const toUnread = initialScroll({ to: "unread" });
const state = (over: Partial<ScrollState> = {}): ScrollState => ({
  goal: undefined,
  atEnd: true,
  below: 0,
  seen: { offset: 0, height: 0, contentHeight: 0 },
  ...over,
});

describe("opening a timeline", () => {
  it("waits for the messages", () => {
    expect(scrollForRows(toUnread, [outgoing("a")], { ...shown, loaded: false })).toEqual({
      state: toUnread,
    });
    expect(scrollForRows(toUnread, [], shown)).toEqual({ state: toUnread });
  });

  it("starts at the end when there is nothing new", () => {
    const atEnd = { state: state(), target: "end" };
    expect(scrollForRows(toUnread, [day, message(1), message(2)], shown)).toEqual(atEnd);
  });

  it("starts with the first message when nothing was read before, however many there are", () => {
    for (const missing of [0, 30, 300])
      expect(scrollForRows(toUnread, [day, line, message(1)], { ...shown, missing })).toEqual({
        state: state({ atEnd: false }),
        target: { index: 1, offset: -100 },
      });
  });

  it("starts with the line of new messages in view, whatever is above it", () => {
    expect(scrollForRows(toUnread, [day, message(1), line, message(2)], shown)).toEqual({
      state: state({ atEnd: false }),
      target: { index: 2, offset: -100 },
    });
  });

  it("starts with the user's own message that is not stored yet", () => {
    const rows = [message(1), line, message(2), outgoing("a")];
    expect(scrollForRows(toUnread, rows, shown).target).toBe("end");
    // Unless much is unread that comes before it.
    expect(scrollForRows(toUnread, rows, { ...shown, missing: 90 }).target).toMatchObject({ index: 1 });
  });

  it("starts where the user was before", () => {
    const start = initialScroll({ to: "anchor", anchor: { seq: 2, offset: -30 } });
    expect(scrollForRows(start, [day, message(1), message(2), line, message(3)], shown)).toEqual({
      state: state({ atEnd: false }),
      target: { index: 2, offset: 30 },
    });
    expect(scrollForRows(start, [day, message(4), message(5)], shown).target).toMatchObject({ index: 1 });
    expect(scrollForRows(start, [day, message(1)], shown).target).toMatchObject({ index: 1 });
  });

  it("begins again when everything is loaded again", () => {
    expect(scrollForRows(state(), [], { ...shown, loaded: false }).state).toEqual(toUnread);
  });
});

describe("changed rows", () => {
  it.each([
    ["at the end", [message(1), message(2), message(3)]],
    // As after a reconnection, when what others wrote comes before the user's own.
    ["before the last one", [message(1), message(3), message(4), message(5), message(2)]],
    ["at the front", [message(0), message(1), message(2)]],
    ["that were sent and are stored", [message(1), message(2)]],
  ])("%s are followed at the end", (_, rows) => {
    expect(scrollForRows(state({ below: 50 }), rows, shown)).toEqual({ state: state(), target: "end" });
  });

  it("do not move what is read further up, the user's own in another tab neither", () => {
    const above = state({ atEnd: false });
    expect(scrollForRows(above, [message(2), outgoing("a")], shown)).toEqual({ state: above });
  });
});

describe("going to the end", () => {
  const going = state({ atEnd: false, goal: { to: "end" } });

  it("waits for the latest messages, but not to show what the user has just written", () => {
    const before = { ...shown, missing: 9 };
    expect(scrollForRows(going, [message(1)], before)).toEqual({ state: going, target: undefined });
    expect(scrollForRows(going, [message(1), outgoing("a")], before)).toEqual({
      state: going,
      target: "end",
    });
    expect(scrollForRows(going, [message(9)], shown)).toEqual({ state: state(), target: "end" });
  });

  it("has a way back", () => {
    const back = state({ goal: { to: "line", seq: 4 } });
    expect(scrollForRows(back, [message(3), line, message(5)], shown)).toEqual({
      state: state({ atEnd: false }),
      target: { index: 2, offset: -100 },
    });
  });
});

describe("scrolling", () => {
  const view = (offset: number, contentHeight = 5000) => ({ offset, height: 500, contentHeight });

  it.each([
    ["at the end", 4500, 0, { atEnd: true, away: false, loadOlder: false, loadNewer: true }],
    ["near the end", 4421, 0, { atEnd: true, away: false, loadOlder: false, loadNewer: true }],
    ["above the end", 4419, 0, { atEnd: false, away: true, loadOlder: false, loadNewer: true }],
    ["at the end of a window", 4500, 9, { atEnd: false, away: false, loadOlder: false, loadNewer: true }],
    ["in the middle", 2000, 0, { atEnd: false, away: true, loadOlder: false, loadNewer: false }],
    ["near the front", 799, 0, { atEnd: false, away: true, loadOlder: true, loadNewer: false }],
  ])("%s", (_, offset, missing, want) => {
    const before = state({ atEnd: missing === 0, seen: view(4500) });
    const { state: next, ...decision } = scrollForViewport(before, view(offset), missing);
    expect({ atEnd: next.atEnd, ...decision }).toEqual(want);
  });

  it("leaves the end only upwards", () => {
    const grown = scrollForViewport(state({ seen: view(4500) }), view(4500, 5300), 0);
    expect(grown).toMatchObject({ state: { atEnd: true, below: 0 }, away: false });
    const left = scrollForViewport(grown.state, view(4499, 5300), 0);
    expect(left).toMatchObject({ state: { atEnd: false }, away: true });
  });

  it("keeps a distance from the end that the user has chosen, not one that came by itself", () => {
    const chosen = scrollForViewport(state({ seen: view(4500) }), view(4470), 0).state;
    expect(chosen).toMatchObject({ atEnd: true, below: 30 });
    // Rows were measured and are smaller; the browser says so before the list does.
    expect(scrollForViewport(chosen, view(4460, 5010), 0).state).toMatchObject({
      atEnd: true,
      below: 30,
    });
  });

  it("follows messages that were missing at the end, unless they are many", () => {
    const gap = scrollForViewport(state({ seen: view(4500) }), view(4500), 90);
    expect(gap).toMatchObject({ state: { atEnd: true }, loadNewer: true });
    const rows = [message(1), message(2)];
    expect(scrollForRows(gap.state, rows, { ...shown, missing: 30 }).target).toBe("end");
    const many = scrollForViewport(state({ seen: view(4500) }), view(4500), 500);
    expect(many).toMatchObject({ state: { atEnd: false } });
    expect(scrollForRows(many.state, rows, { ...shown, missing: 440 }).target).toBeUndefined();
  });
});

describe("a change of size", () => {
  const view = { offset: 4500, height: 300, contentHeight: 5000 };

  it("keeps in view what was at the end of the viewport", () => {
    expect(scrollForSize(state(), view)).toBe(4700);
    expect(scrollForSize(state({ below: 50 }), view)).toBe(4650);
    expect(scrollForSize(state({ below: 200 }), view)).toBeUndefined();
  });

  it("changes nothing further up, or on the way elsewhere", () => {
    expect(scrollForSize(state({ atEnd: false }), view)).toBeUndefined();
    expect(scrollForSize(state({ goal: { to: "end" } }), view)).toBeUndefined();
  });

  it.each([
    ["in view", 4600, 4700, undefined],
    ["below", 4780, 4820, 4520],
    ["above", 4480, 4520, 4480],
    ["higher than the viewport, below", 4600, 5000, 4600],
    ["higher than the viewport, above", 4200, 4700, 4400],
    ["all over the viewport", 4400, 4900, undefined],
  ])("shows the message that is edited: %s", (_, top, bottom, want) => {
    expect(offsetToShow(view, top, bottom)).toBe(want);
  });
});

describe("the place of the user", () => {
  it("is that of the first message in view", () => {
    const rows = [day, message(1), line, message(2)];
    const topOf = (i: number) => i * 40 - 70.4;
    expect(anchorAt(rows, 1, topOf)).toEqual({ seq: 1, offset: -30 });
    expect(anchorAt(rows, 2, topOf)).toEqual({ seq: 2, offset: 50 });
    expect(anchorAt([outgoing("a")], 0, topOf)).toBeUndefined();
  });
});

describe("what counts as read", () => {
  it("is what is in view", () => {
    expect(readInView(undefined, 3, 9)).toEqual({ read: 9, skipped: undefined });
  });

  it("is not what was jumped over, until its beginning was in view", () => {
    const skipped = { from: 5, count: 80 };
    expect(readInView(skipped, 70, 90)).toEqual({ read: 0, skipped });
    expect(readInView(skipped, 0, 90)).toEqual({ read: 0, skipped });
    expect(readInView(skipped, 5, 20)).toEqual({ read: 20, skipped: undefined });
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
