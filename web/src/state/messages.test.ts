import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RestClient } from "../net/rest";
import type { ClientFrame } from "../protocol/types";
import { Drafts } from "../sync/drafts";
import { ServerClock } from "../sync/serverclock";
import { FakeStorage } from "./fakeserver";
import { Messages } from "./messages";

function open() {
  const outbox = { add: vi.fn(async () => {}), retry: vi.fn(), remove: vi.fn() };
  const sent: ClientFrame[] = [];
  const clock = new ServerClock();
  const messages = new Messages(
    new RestClient(),
    outbox,
    new Drafts(new FakeStorage(), () => {}),
    clock,
    (f) => sent.push(f) > 0,
  );
  return { outbox, sent, clock, messages };
}

describe("Messages", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("names and dates messages by the server's clock", () => {
    const { outbox, clock, messages } = open();
    const server = Date.UTC(2030, 0, 1);
    clock.set(server);
    vi.advanceTimersByTime(5);
    messages.send("c", "hello", 7);
    expect(outbox.add).toHaveBeenCalledWith(expect.any(String), "c", "hello", 7, server + 5);
    const [id] = outbox.add.mock.calls[0] as unknown as [string];
    expect(parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(server + 5);
  });

  it("sends a typing notification at most every three seconds", () => {
    const { sent, messages } = open();
    messages.notifyTyping("c");
    vi.advanceTimersByTime(2999);
    messages.notifyTyping("c");
    expect(sent).toEqual([{ t: "typing", conversation: "c" }]);
    vi.advanceTimersByTime(1);
    messages.notifyTyping("c");
    expect(sent).toHaveLength(2);
  });
});
