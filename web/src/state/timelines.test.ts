import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Message, Summary } from "../protocol/types";
import type { Timeline } from "../sync/timeline";
import { setup } from "./fakeserver";
import { Timelines } from "./timelines";

const messages = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ seq: from + i, rev: from + i }) as Message);
const timeline = (from: number, to: number, over: Partial<Timeline> = {}): Timeline => ({
  messages: messages(from, to),
  hasBefore: from > 1,
  hasAfter: false,
  rev: 100,
  ...over,
});
const history = (from: number, to: number, has_after = false) => ({
  items: messages(from, to),
  has_before: from > 1,
  has_after,
  rev: 100,
});
const conversation = (over: Partial<Summary>) =>
  ({ id: "c", seq: 100, rev: 100, read: 100, unread: 0, ...over }) as Summary;

function open(c: Partial<Summary> = {}, t?: Timeline) {
  const fixture = setup({ conversations: { c: conversation(c) }, timelines: t ? { c: t } : {} });
  const shown = () => {
    const now = fixture.store.getState().timelines.c!;
    return [now.messages[0]!.seq, now.messages.at(-1)!.seq];
  };
  const onLoaded = vi.fn<(id: string) => void>();
  return {
    ...fixture,
    onLoaded,
    timelines: new Timelines(fixture.store, fixture.rest, onLoaded),
    shown,
  };
}

describe("Timelines", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("opens at the latest messages", async () => {
    const { server, timelines, shown } = open();
    server.on("GET /conversations/c/messages", () => history(41, 100));
    await timelines.open("c");
    expect(server.requests).toEqual(["GET /conversations/c/messages?limit=60"]);
    expect(shown()).toEqual([41, 100]);
  });

  it("opens around the first unread message when there are many", async () => {
    const { server, timelines } = open({ read: 20, unread: 80 });
    server.on("GET /conversations/c/messages", () => history(1, 60, true));
    await timelines.open("c");
    expect(server.requests).toEqual(["GET /conversations/c/messages?around=21&limit=60"]);
  });

  it("does not load what is loaded", async () => {
    const { server, timelines } = open({}, timeline(41, 100));
    await timelines.open("c");
    await timelines.open("c", 41);
    expect(server.requests).toEqual([]);
    server.on("GET /conversations/c/messages", () => history(1, 60, true));
    await timelines.open("c", 40);
    expect(server.requests).toEqual(["GET /conversations/c/messages?around=40&limit=60"]);
  });

  it("loads a page at either end, once at a time", async () => {
    const { server, timelines, shown } = open({}, timeline(50, 60, { hasAfter: true }));
    server.on("GET /conversations/c/messages?before=50", () => history(40, 49));
    server.on("GET /conversations/c/messages?after=60", () => history(61, 70));
    await Promise.all([timelines.loadOlder("c"), timelines.loadOlder("c"), timelines.loadNewer("c")]);
    expect(server.requests).toEqual([
      "GET /conversations/c/messages?before=50&limit=60",
      "GET /conversations/c/messages?after=60&limit=60",
    ]);
    expect(shown()).toEqual([40, 70]);
    await timelines.loadNewer("c");
    expect(server.requests).toHaveLength(2);
  });

  it("loads a page again after a failure", async () => {
    const { server, timelines, shown } = open({}, timeline(50, 60));
    await expect(timelines.loadOlder("c")).rejects.toMatchObject({ code: "not_found" });
    server.on("GET /conversations/c/messages", () => history(40, 49));
    await timelines.loadOlder("c");
    expect(shown()).toEqual([40, 60]);
  });

  it("trims the other end only after the page was shown", async () => {
    const { server, timelines, shown } = open({}, timeline(100, 1900));
    server.on("GET /conversations/c/messages", () => history(40, 99));
    await timelines.loadOlder("c");
    expect(shown()).toEqual([40, 1900]);
    vi.advanceTimersByTime(300);
    expect(shown()).toEqual([40, 1539]);
    timelines.trimOldest("c");
    timelines.stop();
    vi.advanceTimersByTime(300);
    expect(shown()).toEqual([40, 1539]);
  });

  it("shows the window that was asked for last, whatever order the answers come in", async () => {
    const { server, timelines, shown } = open();
    const answers: ((h: object) => void)[] = [];
    server.on("GET /conversations/c/messages", () => new Promise((resolve) => answers.push(resolve)));
    const jump = timelines.open("c", 5);
    const latest = timelines.openLatest("c");
    answers[1]!(history(41, 100));
    await latest;
    const older = timelines.loadOlder("c");
    answers[0]!(history(1, 40, true));
    await jump;
    expect(shown()).toEqual([41, 100]);
    // A page of a window that was left is not added to the next.
    const left = timelines.open("c", 20);
    answers[3]!(history(30, 40, true));
    await left;
    answers[2]!(history(11, 40));
    await older;
    expect(shown()).toEqual([30, 40]);
  });

  it("shows nothing of a conversation that the user was removed from while it was loading", async () => {
    const { server, store, timelines } = open();
    server.on("GET /conversations/c/messages", () => {
      store.setState({ conversations: {}, removals: { c: 1 } });
      return history(41, 100);
    });
    await timelines.open("c");
    expect(store.getState().timelines).toEqual({});
  });

  it("tells of each window and page once it is in the store", async () => {
    const { server, store, timelines, onLoaded } = open({}, timeline(50, 60, { rev: 90 }));
    const revs: number[] = [];
    onLoaded.mockImplementation((id) => revs.push(store.getState().timelines[id]!.rev));
    server.on("GET /conversations/c/messages", () => ({ ...history(40, 49), rev: 80 }));
    await timelines.loadOlder("c");
    server.on("GET /conversations/c/messages", () => history(41, 100));
    await timelines.openLatest("c");
    expect(revs).toEqual([80, 100]);
  });

  it("shows nothing of a conversation that is not there: nothing would keep it up to date", async () => {
    const { server, store, timelines } = open();
    store.setState({ conversations: {} });
    server.on("GET /conversations/c/messages", () => history(41, 100));
    await timelines.open("c");
    expect(store.getState().timelines).toEqual({});
  });

  it("replaces the window by the latest messages", async () => {
    const { server, timelines, shown } = open({}, timeline(1, 10, { hasAfter: true }));
    server.on("GET /conversations/c/messages", () => history(41, 100));
    await timelines.openLatest("c");
    expect(shown()).toEqual([41, 100]);
  });
});
