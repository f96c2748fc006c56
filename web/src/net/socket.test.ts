import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Socket, type Wire } from "./socket";

class FakeWire implements Wire {
  sent: string[] = [];
  closed = false;
  onopen = null;
  onmessage: Wire["onmessage"] = null;
  onclose: Wire["onclose"] = null;
  send(data: string) {
    this.sent.push(data);
  }
  close() {
    this.closed = true;
  }
  hear(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

const hello = { t: "hello", limits: { heartbeat_ms: 4000 }, time: 0 };

function setup(random = 0.5) {
  const wires: FakeWire[] = [];
  const states: string[] = [];
  const ended: number[] = [];
  const socket = new Socket(
    () => {
      const w = new FakeWire();
      wires.push(w);
      return w;
    },
    { state: (s) => states.push(s), open: () => {}, frame: () => {}, ended: (c) => ended.push(c) },
    () => random,
  );
  return { socket, wires, states, ended };
}

describe("Socket", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("opens with hello and pings at the server's pace", () => {
    const { socket, wires, states } = setup();
    socket.start();
    wires[0]!.hear(hello);
    expect(states).toEqual(["connecting", "open"]);
    vi.advanceTimersByTime(4000);
    expect(wires[0]!.sent).toEqual(['{"t":"ping"}', '{"t":"ping"}']);
  });

  it("comes back with growing, jittered waits", () => {
    const { socket, wires } = setup(1);
    socket.start();
    for (const wait of [500, 1000, 2000, 4000, 8000, 15000, 15000]) {
      const n = wires.length;
      wires[n - 1]!.onclose!({ code: 1006 });
      vi.advanceTimersByTime(wait - 1);
      expect(wires.length).toBe(n);
      vi.advanceTimersByTime(1);
      expect(wires.length).toBe(n + 1);
    }
  });

  it("starts its waits anew once it was connected", () => {
    const { socket, wires } = setup(1);
    socket.start();
    wires[0]!.onclose!({ code: 1006 });
    vi.advanceTimersByTime(500);
    wires[1]!.hear(hello);
    wires[1]!.onclose!({ code: 1006 });
    vi.advanceTimersByTime(500);
    expect(wires.length).toBe(3);
  });

  it("gives up a connection that is silent for two heartbeats", () => {
    const { socket, wires, states } = setup();
    socket.start();
    wires[0]!.hear(hello);
    vi.advanceTimersByTime(8_000);
    expect(wires[0]!.closed).toBe(true);
    expect(states.at(-1)).toBe("waiting");
  });

  it("does not take its own sleep for the server's silence", () => {
    const { socket, wires, states } = setup();
    socket.start();
    wires[0]!.hear(hello);
    wires[0]!.hear({ t: "pong" });
    // A page in the background: its timers are held back for a minute.
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(4000);
    expect(states.at(-1)).toBe("open");
  });

  it("returns when goodbye says so", () => {
    const { socket, wires } = setup(0);
    socket.start();
    wires[0]!.hear(hello);
    wires[0]!.hear({ t: "goodbye", reconnect_after_ms: 3000 });
    wires[0]!.onclose!({ code: 1001 });
    vi.advanceTimersByTime(2999);
    expect(wires.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(wires.length).toBe(2);
  });

  it("stays until goodbye's time has come, then goes elsewhere at once", () => {
    const { socket, wires, states } = setup(1);
    socket.start();
    wires[0]!.hear(hello);
    wires[0]!.hear({ t: "goodbye", reconnect_after_ms: 3000 });
    vi.advanceTimersByTime(2999);
    expect(states.at(-1)).toBe("open");
    vi.advanceTimersByTime(1);
    expect(wires[0]!.closed).toBe(true);
    vi.advanceTimersByTime(1);
    expect(wires.length).toBe(2);
  });

  it("stops for good when the session was ended", () => {
    const { socket, wires, ended } = setup();
    socket.start();
    wires[0]!.hear(hello);
    wires[0]!.onclose!({ code: 4100 });
    vi.advanceTimersByTime(60_000);
    expect(wires.length).toBe(1);
    expect(ended).toEqual([4100]);
  });

  it("hurries when the network is back", () => {
    const { socket, wires } = setup(1);
    socket.start();
    wires[0]!.onclose!({ code: 1006 });
    socket.hurry();
    expect(wires.length).toBe(2);
    vi.advanceTimersByTime(5000);
    expect(wires.length).toBe(2);
  });
});
