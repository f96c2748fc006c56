// One connection to the gateway that is always there or coming back.
import type { ClientFrame, Hello, ServerFrame } from "../protocol/types";

export type SocketState = "idle" | "connecting" | "open" | "waiting";

/** The part of WebSocket that is used, so that tests can stand in for it. */
export type Wire = {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: (() => void) | null;
  onmessage: ((e: { data: string }) => void) | null;
  onclose: ((e: { code: number }) => void) | null;
};

export type SocketEvents = {
  state(state: SocketState): void;
  open(hello: Hello): void;
  frame(frame: ServerFrame): void;
  /** The server said that this session may not come back. */
  ended(code: number): void;
};

/** Close codes from here on tell a client to stop (see the protocol). */
const stopCodes = 4100;
const firstWait = 500;
const longestWait = 15_000;

export class Socket {
  state: SocketState = "idle";
  private wire: Wire | null = null;
  private attempts = 0;
  private heartbeat = 0;
  /** When the first ping went out that nothing was heard after; 0 for none. */
  private unanswered = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private beat: ReturnType<typeof setInterval> | undefined;
  /** When a goodbye told to come back. */
  private returnAt: number | null = null;

  constructor(
    private readonly dial: () => Wire,
    private readonly events: SocketEvents,
    private readonly random: () => number = Math.random,
  ) {}

  start() {
    if (this.state === "idle") this.connect();
  }

  stop() {
    clearTimeout(this.timer);
    this.drop();
    this.set("idle");
  }

  /** Tries at once: the network is back, or the page is looked at again. */
  hurry() {
    if (this.state === "waiting") {
      clearTimeout(this.timer);
      this.connect();
    } else if (this.state === "open") {
      // Whether the connection still lives is not known; the answer tells.
      this.ping();
    }
  }

  /** Sends a frame; false when there is no connection. */
  send(frame: ClientFrame): boolean {
    if (this.state !== "open" || !this.wire) return false;
    this.wire.send(JSON.stringify(frame));
    return true;
  }

  private ping() {
    if (this.send({ t: "ping" })) this.unanswered ||= Date.now();
  }

  private set(state: SocketState) {
    if (this.state === state) return;
    this.state = state;
    this.events.state(state);
  }

  private connect() {
    this.set("connecting");
    const wire = this.dial();
    this.wire = wire;
    // A server that never answers must not hold us up for ever.
    this.timer = setTimeout(() => this.lost(wire, 0), 10_000);
    wire.onmessage = (e) => this.heard(wire, e.data);
    wire.onclose = (e) => this.lost(wire, e.code);
  }

  private heard(wire: Wire, data: string) {
    if (wire !== this.wire) return;
    this.unanswered = 0;
    const frame = JSON.parse(data) as ServerFrame;
    if (frame.t === "hello") {
      clearTimeout(this.timer);
      this.attempts = 0;
      this.heartbeat = frame.limits.heartbeat_ms;
      this.beat = setInterval(() => this.pulse(wire), this.heartbeat);
      this.set("open");
      this.events.open(frame);
      // The first head check need not wait for the first heartbeat.
      this.ping();
      return;
    }
    if (frame.t === "goodbye") {
      // Until then the connection works as ever, unless it is closed first.
      this.returnAt = Date.now() + frame.reconnect_after_ms;
      setTimeout(() => this.lost(wire, 0), frame.reconnect_after_ms);
    }
    this.events.frame(frame);
  }

  private pulse(wire: Wire) {
    // Counted from a ping, not from the last frame: a page in the background
    // is woken rarely, and its silence is its own.
    if (this.unanswered && Date.now() - this.unanswered >= 1.5 * this.heartbeat) {
      this.lost(wire, 0);
      return;
    }
    this.ping();
  }

  private drop() {
    clearInterval(this.beat);
    this.unanswered = 0;
    const wire = this.wire;
    this.wire = null;
    if (wire) {
      wire.onmessage = wire.onclose = wire.onopen = null;
      wire.close(1000);
    }
  }

  private lost(wire: Wire, code: number) {
    if (wire !== this.wire) return;
    clearTimeout(this.timer);
    this.drop();
    if (code >= stopCodes && code < 5000) {
      this.set("idle");
      this.events.ended(code);
      return;
    }
    this.set("waiting");
    // Full jitter: ten thousand clients that lost the same server come back
    // spread over the whole wait.
    const most = Math.min(longestWait, firstWait * 2 ** this.attempts++);
    const wait = this.returnAt === null ? this.random() * most : Math.max(0, this.returnAt - Date.now());
    this.returnAt = null;
    this.timer = setTimeout(() => this.connect(), wait);
  }
}

export function dialGateway(): Wire {
  const url = new URL("/api/v1/socket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, "hikyaku.v1") as unknown as Wire;
}
