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

  it("sends at once when the person leaves, and not once more", () => {
    const { marks, sent } = open();
    marks.markRead("d", 5);
    marks.leave();
    expect(sent).toMatchObject([{ t: "mark", conversation: "d", read: 5 }]);
    vi.advanceTimersByTime(300);
    expect(sent).toHaveLength(1);
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

  it("sends what was read without a connection as soon as there is one", () => {
    const { connection, marks, sent } = open();
    connection.open = false;
    marks.markRead("g", 7);
    vi.advanceTimersByTime(300);
    connection.open = true;
    marks.connected();
    expect(sent).toEqual([{ t: "mark", conversation: "g", read: 7, received: 0 }]);
  });

  it("tells again what was lost with a connection", () => {
    const { marks, sent, store } = open();
    marks.markRead("g", 7);
    vi.advanceTimersByTime(300);
    expect(sent).toHaveLength(1); // into a connection that is dead already
    marks.connected();
    marks.listed(); // the server's summary still says 0
    vi.advanceTimersByTime(300);
    expect(sent.slice(1)).toEqual([{ t: "mark", conversation: "g", read: 7, received: 0 }]);
    store.setState(({ conversations: c }) => ({ conversations: { ...c, g: { ...c.g!, read: 7 } } }));
    marks.connected();
    marks.listed();
    vi.advanceTimersByTime(300);
    expect(sent).toHaveLength(2);
  });

  it("tells again what the next list on the same connection does not know", async () => {
    const { marks, sent, store } = open();
    const told = { t: "mark", conversation: "d", read: 7, received: 7 };
    marks.markReceived(received("d", 7));
    marks.markRead("d", 7);
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([told]); // which the server could not store
    marks.listed();
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([told, { ...told, received: 0 }]);
    store.setState(({ conversations: c }) => ({ conversations: { ...c, d: { ...c.d!, read: 7 } } }));
    marks.listed();
    vi.advanceTimersByTime(300);
    expect(sent).toHaveLength(2);
  });

  it("tells the sender of a direct message that has come with the list that it was received", () => {
    const { marks, sent, store } = open();
    const arrived = (id: string, kind: Summary["kind"]) =>
      ({ id, kind, seq: 5, read: 3, unread: 2 }) as Summary;
    store.setState({ conversations: { d: arrived("d", "direct"), g: arrived("g", "group") } });
    marks.connected();
    marks.listed();
    marks.markReceived(received("d", 5));
    vi.advanceTimersByTime(300);
    marks.markReceived(received("d", 4)); // with the changes, after the list
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([{ t: "mark", conversation: "d", read: 0, received: 5 }]);
  });

  it("does not tell of conversations that are gone, or of another history", () => {
    const { connection, marks, sent, store } = open();
    connection.open = false;
    marks.markRead("g", 7);
    vi.advanceTimersByTime(300);
    connection.open = true;
    const { conversations } = store.getState();
    store.setState({ conversations: {} });
    marks.connected();
    store.setState({ conversations });
    marks.connected();
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([]);
  });

  it("keeps to the server's pace", () => {
    const { marks, sent, store } = open();
    const many = Array.from({ length: 100 }, (_, i) => "d" + i);
    const summary = (id: string) => ({ id, kind: "direct", seq: 1, read: 0, unread: 1 }) as Summary;
    store.setState({ conversations: Object.fromEntries(many.map((id) => [id, summary(id)])) });
    marks.listed();
    vi.advanceTimersByTime(300);
    for (const n of [30, 60, 90, 100]) {
      expect(sent).toHaveLength(n);
      vi.advanceTimersByTime(1000);
    }
    expect(new Set(sent.map((f) => f.t === "mark" && f.conversation)).size).toBe(100);
  });

  it("sends nothing after its end", () => {
    const { marks, sent } = open();
    marks.markRead("g", 7);
    marks.stop();
    vi.advanceTimersByTime(300);
    expect(sent).toEqual([]);
  });
});
