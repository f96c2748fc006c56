import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "zustand/vanilla";
import type { ClientFrame, History, Hello, ServerFrame, Summary } from "../protocol/types";
import { emptySyncState, type SyncState } from "./store";
import { SyncClient } from "./syncclient";
import { fromHistory } from "./timeline";

// What a real server and a device said to each other, recorded by the Go client's
// tests; internal/syncclient/testdata/traces/README.md tells what the parts mean.

type Step = {
  connect?: Hello;
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
  known?: { client: string; issue: string; lacks: Record<string, number[]> }[];
  me: string;
  steps: Step[];
  end: Record<string, State>;
};

const traces = import.meta.glob<Trace>("../../../internal/syncclient/testdata/traces/*.json", {
  eager: true,
  import: "default",
});

/** The state in which the page ends today. */
function expectedEnd(trace: Trace): Record<string, State> {
  const lacks = (id: string, seq: number) =>
    trace.known?.some((k) => k.client === "page" && k.lacks[id]?.includes(seq));
  return Object.fromEntries(
    Object.entries(trace.end).map(([id, c]) => [
      id,
      { ...c, messages: c.messages.filter(([seq]) => !lacks(id, seq)) },
    ]),
  );
}

/** A page's client on a connection that the trace controls. */
function setup(trace: Trace) {
  let connected = false;
  const requests: { id: string; frame: object }[] = [];
  const fetches: { path: string; resolve: (c: Summary) => void }[] = [];
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
    (id) => new Promise((resolve) => fetches.push({ path: "/conversations/" + id, resolve })),
  );

  const steps = {
    connect() {
      connected = true;
      client.connected();
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
    get(path: string, answer: object) {
      const opened = /^\/conversations\/(\d+)\/messages\?/.exec(path)?.[1];
      if (opened) {
        const h = answer as History;
        store.setState((s) => ({ timelines: { ...s.timelines, [opened]: fromHistory(h) } }));
        return;
      }
      const next = fetches.shift();
      expect(next?.path).toBe(path);
      next!.resolve(answer as Summary);
    },
  };
  const expectIdle = () => {
    expect(requests).toEqual([]);
    expect(fetches.map((f) => f.path)).toEqual([]);
  };
  const play = async (s: Step) => {
    if (s.connect) steps.connect();
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
      expect(state()).toEqual(expectedEnd(trace));
    });
  }
});
