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
  ...over,
});
const history = (from: number, to: number, has_after = false) => ({
  items: messages(from, to),
  has_before: from > 1,
  has_after,
});
const conversation = (over: Partial<Summary>) =>
  ({ id: "c", seq: 100, read: 100, unread: 0, ...over }) as Summary;

function open(c: Partial<Summary> = {}, t?: Timeline) {
  const fixture = setup({ conversations: { c: conversation(c) }, timelines: t ? { c: t } : {} });
  const shown = () => {
    const now = fixture.store.getState().timelines.c!;
    return [now.messages[0]!.seq, now.messages.at(-1)!.seq];
  };
  return { ...fixture, timelines: new Timelines(fixture.store, fixture.rest), shown };
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

  it("keeps what was pushed while it was loading", async () => {
    const { server, store, timelines, shown } = open();
    server.on("GET /conversations/c/messages", () => {
      store.setState({ timelines: { c: timeline(101, 101) } });
      return history(41, 100);
    });
    await timelines.open("c");
    expect(shown()).toEqual([41, 101]);
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

  it("replaces the window by the latest messages", async () => {
    const { server, timelines, shown } = open({}, timeline(1, 10, { hasAfter: true }));
    server.on("GET /conversations/c/messages", () => history(41, 100));
    await timelines.openLatest("c");
    expect(shown()).toEqual([41, 100]);
  });
});
