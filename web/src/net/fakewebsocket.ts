// For tests: a WebSocket whose other end is the test.
import type { ClientFrame } from "../protocol/types";
import type { WebSocketLike } from "./socket";

export class FakeWebSocket implements WebSocketLike {
  readonly sent: ClientFrame[] = [];
  closed = false;
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;

  send(data: string) {
    this.sent.push(JSON.parse(data) as ClientFrame);
  }
  close() {
    this.closed = true;
  }

  /** Delivers a frame as the server's. */
  receive(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  /** Closes the connection as the server does. */
  drop(code = 1006) {
    this.onclose?.({ code });
  }
  /** Returns the frames of one type that were sent. */
  sentOf(type: ClientFrame["t"]) {
    return this.sent.filter((f) => f.t === type);
  }
}
