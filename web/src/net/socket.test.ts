import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeWebSocket } from "./fakewebsocket";
import { GatewaySocket } from "./socket";

const hello = { t: "hello", limits: { heartbeat_ms: 4000 }, time: 0 };

function setup(random = 0.5, cursors: string[] = []) {
  const sockets: FakeWebSocket[] = [];
  const states: string[] = [];
  const terminated: number[] = [];
  const failed: number[] = [];
  const doubts: boolean[] = [];
  const page = { inView: false };
  const gateway = new GatewaySocket(
    () => {
      const socket = new FakeWebSocket();
      sockets.push(socket);
      return socket;
    },
    {
      onState: (s) => states.push(s),
      onDoubt: (d) => doubts.push(d),
      onOpen: () => {},
      onFrame: () => {},
      onTerminated: (c) => terminated.push(c),
      onFailed: () => failed.push(sockets.length),
      isInView: () => page.inView,
      cursor: () => cursors.shift() ?? "",
    },
    () => random,
  );
  return { gateway, sockets, states, terminated, failed, doubts, page };
}

describe("GatewaySocket", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("is open from hello on, and pings when the server wants it, with the cursor", () => {
    const { gateway, sockets, states } = setup(0.5, ["", "x"]);
    gateway.start();
    sockets[0]!.receive(hello);
    expect(states).toEqual(["connecting", "open"]);
    vi.advanceTimersByTime(3999);
    expect(sockets[0]!.sent).toEqual([]);
    vi.advanceTimersByTime(1);
    sockets[0]!.receive({ t: "pong", next_ms: 30_000 });
    vi.advanceTimersByTime(29_999);
    expect(sockets[0]!.sent).toEqual([{ t: "ping" }]);
    vi.advanceTimersByTime(1);
    expect(sockets[0]!.sent).toEqual([{ t: "ping" }, { t: "ping", cursor: "x" }]);
  });

  it("pings within a heartbeat after it sent what is answered", () => {
    const { gateway, sockets } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.receive({ t: "pong", next_ms: 30_000 });
    vi.advanceTimersByTime(10_000);
    gateway.send({ t: "typing", conversation: "c" });
    vi.advanceTimersByTime(10_000);
    expect(sockets[0]!.sentOf("ping")).toEqual([]);
    gateway.send({ t: "sync", id: "1" });
    vi.advanceTimersByTime(3999);
    gateway.send({ t: "sync", id: "2" });
    vi.advanceTimersByTime(1);
    expect(sockets[0]!.sentOf("ping")).toHaveLength(1);
  });

  it("pings at once when the page wakes up, but not again and again", () => {
    const { gateway, sockets } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.receive({ t: "pong", next_ms: 30_000 });
    vi.advanceTimersByTime(5000);
    gateway.reconnectNow();
    gateway.reconnectNow();
    expect(sockets[0]!.sentOf("ping")).toHaveLength(1);
    // As long as nothing answers, it is a heartbeat like any other.
    vi.advanceTimersByTime(6000);
    expect(sockets[0]!.closed).toBe(true);
  });

  it("reconnects after exponential backoff with jitter", () => {
    const { gateway, sockets } = setup(1);
    gateway.start();
    for (const wait of [500, 1000, 2000, 4000, 8000, 15000, 15000]) {
      const n = sockets.length;
      sockets[n - 1]!.drop(1006);
      vi.advanceTimersByTime(wait - 1);
      expect(sockets.length).toBe(n);
      vi.advanceTimersByTime(1);
      expect(sockets.length).toBe(n + 1);
    }
  });

  it("waits less in a page in view, as long as the outage is young", () => {
    const { gateway, sockets, page } = setup(1);
    page.inView = true;
    gateway.start();
    const waits: number[] = [];
    for (let age = 0; age < 75_000; age += waits.at(-1)!) {
      const n = sockets.length;
      const at = Date.now();
      sockets[n - 1]!.drop(1006);
      vi.advanceTimersToNextTimer();
      expect(sockets.length).toBe(n + 1);
      waits.push(Date.now() - at);
    }
    expect(waits.slice(0, 5)).toEqual([500, 1000, 2000, 3000, 3000]);
    const late = waits.indexOf(15_000);
    expect(waits.slice(0, late).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(60_000);
    expect(waits.slice(5, late).every((w) => w === 3000)).toBe(true);
    // Another outage is young again.
    sockets.at(-1)!.receive(hello);
    for (const wait of [500, 1000, 2000, 3000]) {
      const n = sockets.length;
      sockets[n - 1]!.drop(1006);
      vi.advanceTimersByTime(wait);
      expect(sockets.length).toBe(n + 1);
    }
  });

  it("ends the wait when somebody uses the page, once a second", () => {
    const { gateway, sockets } = setup(1);
    gateway.start();
    for (let i = 0; i < 6; i++) {
      sockets.at(-1)!.drop(1006);
      vi.runOnlyPendingTimers();
    }
    sockets.at(-1)!.drop(1006); // the wait is of 15 s now
    const n = sockets.length;
    for (let ms = 0; ms < 5000; ms += 100) {
      gateway.attended();
      if (gateway.state === "connecting") sockets.at(-1)!.drop(1006);
      vi.advanceTimersByTime(100);
    }
    expect(sockets.length - n).toBe(4);
    gateway.attended();
    const { length } = sockets;
    vi.advanceTimersByTime(1000);
    gateway.attended(); // an attempt that is on its way goes on
    expect(sockets).toHaveLength(length);
  });

  it("resets the backoff when it is connected", () => {
    const { gateway, sockets } = setup(1);
    gateway.start();
    sockets[0]!.drop(1006);
    vi.advanceTimersByTime(500);
    sockets[1]!.receive(hello);
    sockets[1]!.drop(1006);
    vi.advanceTimersByTime(500);
    expect(sockets.length).toBe(3);
  });

  it("closes a connection whose ping is not answered for one and a half heartbeats", () => {
    const { gateway, sockets, states } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    vi.advanceTimersByTime(9_999);
    expect(sockets[0]!.closed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(sockets[0]!.closed).toBe(true);
    expect(states.at(-1)).toBe("waiting");
  });

  it("asks once more after it has slept, before it takes the connection for lost", () => {
    const { gateway, sockets, states } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    vi.advanceTimersByTime(4000);
    // A page in the background: its timers are delayed by a minute.
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(6000);
    expect(states.at(-1)).toBe("open");
    expect(sockets[0]!.sentOf("ping")).toHaveLength(2);
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(6000);
    expect(states.at(-1)).toBe("waiting");
  });

  it("reconnects when goodbye says", () => {
    const { gateway, sockets } = setup(0);
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.receive({ t: "goodbye", reconnect_after_ms: 3000 });
    sockets[0]!.drop(1001);
    vi.advanceTimersByTime(2999);
    expect(sockets.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(sockets.length).toBe(2);
  });

  it("keeps the connection until the time that goodbye says, then reconnects at once", () => {
    const { gateway, sockets, states } = setup(1);
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.receive({ t: "goodbye", reconnect_after_ms: 3000 });
    vi.advanceTimersByTime(2999);
    expect(states.at(-1)).toBe("open");
    vi.advanceTimersByTime(1);
    expect(sockets[0]!.closed).toBe(true);
    vi.advanceTimersByTime(1);
    expect(sockets.length).toBe(2);
  });

  it("does not reconnect when the session has ended", () => {
    const { gateway, sockets, terminated } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.drop(4100);
    vi.advanceTimersByTime(60_000);
    expect(sockets.length).toBe(1);
    expect(terminated).toEqual([4100]);
  });

  it("waits longer when it was closed because it sent too much", () => {
    const { gateway, sockets, page } = setup(0);
    page.inView = true;
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.drop(4002);
    vi.advanceTimersByTime(14_999);
    expect(sockets.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(sockets.length).toBe(2);
  });

  it("ends the wait on reconnectNow", () => {
    const { gateway, sockets } = setup(1);
    gateway.start();
    sockets[0]!.drop(1006);
    gateway.reconnectNow();
    expect(sockets.length).toBe(2);
    vi.advanceTimersByTime(5000);
    expect(sockets.length).toBe(2);
  });

  it("says when connecting fails, but not when a connection is lost", () => {
    const { gateway, sockets, failed } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    sockets[0]!.drop();
    vi.advanceTimersByTime(250);
    sockets[1]!.drop();
    expect(failed).toEqual([2]);
    vi.advanceTimersByTime(500);
    vi.advanceTimersByTime(10_000); // without an answer
    expect(failed).toEqual([2, 3]);
    gateway.reconnectNow();
    sockets[3]!.receive(hello);
    sockets[3]!.drop();
    expect(failed).toEqual([2, 3]);
  });

  it("takes the connection for lost within a second when the device has no network", () => {
    const { gateway, sockets, states, doubts } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    vi.advanceTimersByTime(5000);
    sockets[0]!.receive({ t: "pong", next_ms: 30_000 });
    gateway.networkLost();
    expect(doubts).toEqual([true]);
    vi.advanceTimersByTime(999);
    expect(gateway.state).toBe("open");
    vi.advanceTimersByTime(1);
    expect(states.at(-1)).toBe("waiting");
    expect(gateway.retryAt).toBe(Date.now() + 250);
    expect(doubts).toEqual([true, false]);
  });

  it("keeps a connection on which the server answers without a network", () => {
    const { gateway, sockets, states, doubts } = setup();
    gateway.start();
    sockets[0]!.receive(hello);
    vi.advanceTimersByTime(2000);
    gateway.networkLost();
    vi.advanceTimersByTime(1);
    expect(sockets[0]!.sentOf("ping")).toHaveLength(1);
    sockets[0]!.receive({ t: "pong", next_ms: 30_000 });
    vi.advanceTimersByTime(2000);
    expect(states.at(-1)).toBe("open");
    expect(doubts).toEqual([true, false]);
  });

  it("begins an attempt anew that is older than the network", () => {
    const { gateway, sockets } = setup();
    gateway.start();
    vi.advanceTimersByTime(500);
    gateway.reconnectNow();
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(500);
    gateway.reconnectNow();
    expect(sockets).toHaveLength(2);
    expect(sockets[0]!.closed).toBe(true);
    sockets[1]!.receive(hello);
    expect(gateway.state).toBe("open");
  });
});
