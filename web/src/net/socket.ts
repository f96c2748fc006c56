import type { ClientFrame, Hello, ServerFrame } from "../protocol/types";
import { basePath } from "./base";

/** idle: not started, or ended; waiting: until the next attempt to connect. */
export type SocketState = "idle" | "connecting" | "open" | "waiting";

/** The part of WebSocket that is used, so that tests can replace it. */
export type WebSocketLike = {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: (() => void) | null;
  onmessage: ((e: { data: string }) => void) | null;
  onclose: ((e: { code: number }) => void) | null;
};

export type SocketEvents = {
  onState(state: SocketState): void;
  /** The connection is open, but may be lost; or that is over. */
  onDoubt(isDoubtful: boolean): void;
  onOpen(hello: Hello): void;
  onFrame(frame: ServerFrame): void;
  /** The server has ended the session: there is no reconnecting. */
  onTerminated(code: number): void;
  /** Connecting has failed: perhaps for a reason that browsers do not tell,
   * such as a session that has ended. */
  onFailed(): void;
  /** Whether somebody may be looking at the page. */
  isInView(): boolean;
  /** The position up to which the page has everything, "" for none: a ping carries
   * it, and the server sends resync when something changed since. */
  cursor(): string;
};

/** Close codes from here up to 4999 forbid reconnecting (see the protocol). */
const firstTerminalCode = 4100;
/** The close code after which a client that sent too much has to wait, and how long;
 * sooner its first frames would be refused. */
const floodedCode = 4002;
const floodedPause = 15_000;
/** How long connecting may take, until hello. */
const connectTimeout = 10_000;
/** The upper limit of the wait before the first attempt to reconnect; it
 * doubles with each attempt. */
const initialBackoff = 500;
const maxBackoff = 15_000;
/** The upper limit of that wait while somebody may be waiting for it, and how long an
 * outage is young: most end soon, and what lasts is not to be asked too often. */
const maxBackoffInView = 3000;
const youngOutage = 60_000;
/** How long the server may take to answer once the device says that it has no network.
 * It may be wrong: the server may be on the same machine. */
const offlineTimeout = 1000;
/** How old an attempt to connect may be when the network comes back: what an older
 * one has sent is lost. */
const freshAttempt = 1000;
/** How many heartbeats a ping may stay unanswered. */
const unansweredHeartbeats = 1.5;
/** What looks at a connection besides its heartbeat does so at most once in this
 * time: a server does not answer pings that come too fast. */
const minCheckInterval = 1000;

/** GatewaySocket is a connection to the gateway that reconnects by itself.
 *
 * The server says when the next ping is due. One is sent sooner after the page sent
 * something that is answered, so that a broken connection is noticed, and at once
 * when the page wakes up. */
export class GatewaySocket {
  state: SocketState = "idle";
  private socket: WebSocketLike | null = null;
  private attempts = 0;
  /** When the connection was lost, or the first attempt failed. */
  private lostAt: number | null = null;
  private heartbeatInterval = 0;
  /** How many pings were sent since something was received. */
  private unanswered = 0;
  /** When the last ping was sent. */
  private pingedAt = 0;
  /** Of the connection that is being made, or of the wait for the next one. */
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isDoubtful = false;
  /** When the last attempt to connect began, and when the next one does. */
  private dialedAt = 0;
  retryAt = 0;
  private heartbeatTimer: ReturnType<typeof setTimeout> | undefined;
  /** When the heartbeat timer fires, unless the page sleeps. */
  private heartbeatAt = 0;
  /** When to reconnect, as a goodbye said. */
  private reconnectAt: number | null = null;

  constructor(
    private readonly dial: () => WebSocketLike,
    private readonly events: SocketEvents,
    private readonly random: () => number = Math.random,
  ) {}

  start() {
    if (this.state === "idle") this.connect();
  }

  stop() {
    clearTimeout(this.timer);
    this.close();
    this.setState("idle");
  }

  /** Ends a wait at once; an open connection is checked by a ping, and an attempt that
   * has taken long is begun anew. */
  reconnectNow() {
    const isStale = this.state === "connecting" && Math.abs(Date.now() - this.dialedAt) >= freshAttempt;
    if (this.state === "waiting" || isStale) {
      clearTimeout(this.timer);
      this.close();
      this.connect();
    } else if (this.state === "open" && Math.abs(Date.now() - this.pingedAt) >= minCheckInterval) {
      this.ping();
    }
  }

  /** Somebody uses the page: a wait ends, if the last attempt is not of just now. */
  attended() {
    const isRecent = Math.abs(Date.now() - this.dialedAt) < minCheckInterval;
    if (this.state === "waiting" && !isRecent) this.reconnectNow();
  }

  /** The device says that it has no network: the connection is doubtful, and lost
   * unless the server answers very soon. */
  networkLost() {
    const { socket } = this;
    if (this.state !== "open" || !socket) return;
    this.setDoubtful(true);
    const sinceLastPing = Math.abs(Date.now() - this.pingedAt);
    setTimeout(
      () => {
        if (socket !== this.socket || !this.isDoubtful) return;
        this.ping();
        setTimeout(() => {
          if (this.isDoubtful) this.onClose(socket, 0);
        }, offlineTimeout);
      },
      Math.max(0, minCheckInterval - sinceLastPing),
    );
  }

  private setDoubtful(isDoubtful: boolean) {
    if (this.isDoubtful === isDoubtful) return;
    this.isDoubtful = isDoubtful;
    this.events.onDoubt(isDoubtful);
  }

  /** Sends a frame; reports whether there is a connection to send it on. */
  send(frame: ClientFrame): boolean {
    if (this.state !== "open" || !this.socket) return false;
    this.socket.send(JSON.stringify(frame));
    const isAnswered = frame.t === "send" || frame.t === "sync";
    if (isAnswered && !this.unanswered && this.heartbeatAt - Date.now() > this.heartbeatInterval)
      this.setHeartbeat(this.heartbeatInterval);
    return true;
  }

  private setState(state: SocketState) {
    if (this.state === state) return;
    this.state = state;
    this.events.onState(state);
  }

  private connect() {
    this.setState("connecting");
    this.dialedAt = Date.now();
    const socket = this.dial();
    this.socket = socket;
    this.timer = setTimeout(() => this.onClose(socket, 0), connectTimeout);
    socket.onmessage = (e) => this.onMessage(socket, e.data);
    socket.onclose = (e) => this.onClose(socket, e.code);
  }

  private onMessage(socket: WebSocketLike, data: string) {
    if (socket !== this.socket) return;
    this.unanswered = 0;
    this.setDoubtful(false);
    const frame = JSON.parse(data) as ServerFrame;
    if (frame.t === "hello") {
      clearTimeout(this.timer);
      this.attempts = 0;
      this.lostAt = null;
      this.heartbeatInterval = frame.limits.heartbeat_ms;
      this.setState("open");
      this.setHeartbeat(this.heartbeatInterval);
      this.events.onOpen(frame);
      return;
    }
    if (frame.t === "pong") this.setHeartbeat(frame.next_ms);
    if (frame.t === "goodbye") {
      // Until then the connection works as before, unless the server closes it first.
      this.reconnectAt = Date.now() + frame.reconnect_after_ms;
      setTimeout(() => this.onClose(socket, 0), frame.reconnect_after_ms);
    }
    this.events.onFrame(frame);
  }

  /** Sends a ping, and has the heartbeat look for the answer. */
  private ping() {
    const cursor = this.events.cursor();
    if (!this.send(cursor ? { t: "ping", cursor } : { t: "ping" })) return;
    this.unanswered++;
    this.pingedAt = Date.now();
    this.setHeartbeat(unansweredHeartbeats * this.heartbeatInterval);
  }

  private setHeartbeat(ms: number) {
    const socket = this.socket;
    if (!socket) return;
    clearTimeout(this.heartbeatTimer);
    this.heartbeatAt = Date.now() + ms;
    this.heartbeatTimer = setTimeout(() => this.heartbeat(socket), ms);
  }

  private heartbeat(socket: WebSocketLike) {
    // A page that has slept asks once more: the answer may not have been read yet.
    const hasSlept = Date.now() - this.heartbeatAt >= this.heartbeatInterval;
    if (this.unanswered > (hasSlept ? 1 : 0)) this.onClose(socket, 0);
    else this.ping();
  }

  private close() {
    clearTimeout(this.heartbeatTimer);
    this.unanswered = 0;
    this.setDoubtful(false);
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = socket.onopen = null;
      socket.close(1000);
    }
  }

  private onClose(socket: WebSocketLike, code: number) {
    if (socket !== this.socket) return;
    clearTimeout(this.timer);
    this.close();
    if (code >= firstTerminalCode && code < 5000) {
      this.setState("idle");
      this.events.onTerminated(code);
      return;
    }
    if (this.state === "connecting") this.events.onFailed();
    // Full jitter: ten thousand clients that lost the same server come back
    // spread over the whole wait.
    this.lostAt ??= Date.now();
    const isYoung = Math.abs(Date.now() - this.lostAt) < youngOutage;
    const limit = isYoung && this.events.isInView() ? maxBackoffInView : maxBackoff;
    const backoff = Math.min(limit, initialBackoff * 2 ** this.attempts++);
    const pause = code === floodedCode ? floodedPause : 0;
    const wait =
      this.reconnectAt === null
        ? pause + this.random() * backoff
        : Math.max(pause, this.reconnectAt - Date.now());
    this.reconnectAt = null;
    this.retryAt = Date.now() + wait;
    this.setState("waiting");
    this.timer = setTimeout(() => this.connect(), wait);
  }
}

/** Opens a connection of an account; the server refuses it when the browser is
 * logged in as somebody else. */
export function dialGateway(account: string): WebSocketLike {
  const url = new URL(basePath + "api/v1/socket", location.href);
  url.searchParams.set("account", account);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, "hikyaku.v1") as unknown as WebSocketLike;
}
