import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "zustand/vanilla";
import type { ClientFrame, History, Hello, ServerFrame } from "../protocol/types";
import { emptySyncState, type SyncState } from "./store";
import { SyncClient } from "./syncclient";
import { fromHistory } from "./timeline";

// What a real server and a device said to each other, recorded by the Go client's
// tests; internal/syncclient/testdata/traces/README.md tells what the parts mean.

type Step = {
  connect?: Hello;
  ping?: Extract<ClientFrame, { t: "ping" }>;
  push?: ServerFrame;
  lose?: ServerFrame;
  ask?: ClientFrame;
  get?: string;
  by?: string[];
  answer?: object;
  wait?: number;
  cut?: boolean;
};
type State = { rev: number; read: number; unread: number; messages: [seq: number, rev: number][] };
type Trace = {
  about: string;
  me: string;
  steps: Step[];
  end: Record<string, State>;
};

const traces = import.meta.glob<Trace>("../../../internal/syncclient/testdata/traces/*.json", {
  eager: true,
  import: "default",
});

/** A page's client on a connection that the trace controls. */
function setup(trace: Trace) {
  let connected = false;
  const requests: { id: string; frame: object }[] = [];
  const store = createStore<SyncState>()(() => ({
    ...emptySyncState,
    me: { id: trace.me, name: "ben", display_name: "Ben" },
  }));
  const client = new SyncClient(
    store,
    (f) => {
      if (!connected) return false;
      const { id, ...frame } = f as Extract<ClientFrame, { t: "sync" }>;
      // Empty fields are as good as none.
      requests.push({ id, frame: Object.fromEntries(Object.entries(frame).filter(([, v]) => v)) });
      return true;
    },
    {
      accepted: () => {},
      rejected: () => {},
      failed: () => {},
      stored: () => {},
      removeConversation: () => {},
    },
  );

  const steps = {
    connect(hello: Hello) {
      connected = true;
      client.connected(hello.epoch);
    },
    cut() {
      connected = false;
      client.disconnected();
    },
    ask(frame: object, answer?: object) {
      const next = requests.shift();
      expect(next?.frame).toEqual(frame);
      if (answer) client.handleFrame({ ...answer, id: next!.id } as ServerFrame);
    },
    /** The page opens a conversation. */
    get(path: string, answer: object) {
      const id = /^\/conversations\/(\d+)\/messages\?/.exec(path)![1]!;
      const h = answer as History;
      store.setState((s) => ({ timelines: { ...s.timelines, [id]: fromHistory(h) } }));
      client.timelineLoaded(id);
    },
    ping({ cursor = "" }: Extract<ClientFrame, { t: "ping" }>) {
      expect(client.cursor).toBe(cursor);
    },
  };
  const expectIdle = () => {
    expect(requests).toEqual([]);
  };
  const play = async (s: Step) => {
    if (s.connect) steps.connect(s.connect);
    else if (s.ping) steps.ping(s.ping);
    else if (s.push) client.handleFrame(s.push);
    else if (s.ask) steps.ask(s.ask, s.answer);
    else if (s.get) steps.get(s.get, s.answer!);
    else if (s.wait || s.cut) {
      expectIdle();
      if (s.cut) steps.cut();
    } else if (!s.lose) throw new Error("unknown step: " + JSON.stringify(s));
    await vi.advanceTimersByTimeAsync(s.wait ?? 0);
  };
  const state = (): Record<string, State> => {
    const { conversations, timelines } = store.getState();
    return Object.fromEntries(
      Object.values(conversations).map(({ id, rev, read, unread }) => [
        id,
        { rev, read, unread, messages: (timelines[id]?.messages ?? []).map((m) => [m.seq, m.rev]) },
      ]),
    );
  };
  return { play, state, expectIdle };
}

describe("recorded synchronizations", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("are found", () => expect(Object.keys(traces).length).toBeGreaterThan(0));

  for (const [path, trace] of Object.entries(traces)) {
    it(path.replace(/^.*\/|\.json$/g, ""), async () => {
      const { play, state, expectIdle } = setup(trace);
      for (const [i, s] of trace.steps.entries()) {
        if (s.by && !s.by.includes("page")) continue;
        await play(s).catch((e) => {
          throw new Error(`step ${i}: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
        });
      }
      expectIdle();
      expect(state()).toEqual(trace.end);
    });
  }
});
