import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame, Message, Summary } from "../protocol/types";
import { createAppStore } from "./fakeserver";
import { MarkSender } from "./marks";

function open() {
  const store = createAppStore({
    conversations: {
      d: { id: "d", kind: "direct", read: 3 } as Summary,
      g: { id: "g", kind: "group", read: 0 } as Summary,
    },
  });
  const sent: ClientFrame[] = [];
  const connection = { open: true };
  const marks = new MarkSender(store, (f) => connection.open && sent.push(f) > 0);
  return { store, sent, connection, marks };
}
const received = (conversation: string, seq: number) => ({ conversation, seq }) as Message;

describe("MarkSender", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("sends the latest marks of a conversation as one frame", () => {
    const { marks, sent, store } = open();
    marks.markReceived(received("d", 6));
    marks.markRead("d", 4);
    marks.markRead("d", 5);
    expect(store.getState().localReadMarks).toEqual({ d: 5 });
    vi.advanceTimersByTime(299);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent).toEqual([{ t: "mark", conversation: "d", read: 5, received: 6 }]);
  });

  it("ignores what was read before, and conversations that are not there", () => {
    const { marks, sent } = open();
    marks.markRead("d", 3);
    marks.markRead("x", 9);
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([]);
  });

  it("reports what was received to the sender of a direct message only", () => {
    const { marks, sent } = open();
    marks.markReceived(received("g", 1));
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([]);
  });

  it("keeps marks that could not be sent for the next time", () => {
    const { connection, marks, sent } = open();
    connection.open = false;
    marks.markRead("g", 7);
    vi.advanceTimersByTime(300);
    connection.open = true;
    marks.markRead("d", 4);
    vi.advanceTimersByTime(300);
    expect(sent.map((f) => f.t === "mark" && f.conversation)).toEqual(["g", "d"]);
  });

  it("sends nothing after its end", () => {
    const { marks, sent } = open();
    marks.markRead("g", 7);
    marks.stop();
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([]);
  });
});
