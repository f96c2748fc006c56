// @vitest-environment jsdom
// Answers and pushes that overtake each other, on random schedules: whatever
// order they come in, the page ends with what the server has.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame, History, Message, Summary, User } from "../protocol/types";
import { randomFrom } from "../sync/events";
import { Tabs } from "../sync/tabs";
import { FakeStorage, setup } from "./fakeserver";
import { Session } from "./session";

const me = { id: "1", name: "aki", display_name: "Aki" } as User;
const schedules = 200;
const steps = 60;
/** The sizes of the server's pages, smaller than what is asked for. */
const historySize = 7;
const changesSize = 3;

/** A server with one conversation. What it does is seen by the page only when
 * its pushes and answers are delivered. */
class ServerModel {
  readonly messages: Message[] = [];
  readonly pushes: object[] = [];
  rev = 1;
  title = "Team";
  membersRev = 1;

  constructor(size: number) {
    for (let i = 0; i < size; i++) this.send();
    this.pushes.length = 0;
  }

  private change(m: Message, t: string) {
    this.messages[m.seq - 1] = m;
    this.pushes.push({ t, ...m });
  }
  send() {
    const seq = this.messages.length + 1;
    const rev = ++this.rev;
    const names = { id: String(seq), sender: "2", client_id: "m" + seq };
    this.change({ conversation: "c", seq, rev, ...names, body: "text", at: seq }, "message");
  }
  edit(seq: number) {
    this.change({ ...this.messages[seq - 1]!, rev: ++this.rev, body: "edit", edited_at: 1 }, "edited");
  }
  delete(seq: number) {
    this.change({ ...this.messages[seq - 1]!, rev: ++this.rev, body: "", deleted_at: 1 }, "deleted");
  }
  rename(title: string) {
    this.title = title;
    this.rev++;
    this.pushes.push({ t: "conversation", conversation: this.summary() });
  }

  summary(): Summary {
    const seq = this.messages.length;
    return {
      ...{ id: "c", kind: "group", title: this.title, seq, rev: this.rev, members_rev: this.membersRev },
      ...{ members: 2, created_at: 1, active_at: seq, role: "owner", read: 0, unread: seq },
      last: this.messages.at(-1),
    };
  }
  history(query: URLSearchParams): History {
    const seq = this.messages.length;
    let first = seq - historySize + 1;
    if (query.has("before")) first = Number(query.get("before")) - historySize;
    if (query.has("after")) first = Number(query.get("after")) + 1;
    if (query.has("around")) first = Number(query.get("around")) - (historySize >> 1);
    const end = query.has("before") ? Number(query.get("before")) - 1 : first + historySize - 1;
    const items = this.messages.slice(Math.max(first, 1) - 1, Math.max(end, 0));
    return {
      items,
      has_before: items.length > 0 && items[0]!.seq > 1,
      has_after: items.length > 0 && items.at(-1)!.seq < seq,
      rev: this.rev,
    };
  }
  sync(f: Extract<ClientFrame, { t: "sync" }>): object {
    if (!f.conversation)
      return { t: "synced", id: f.id, conversations: [this.summary()], gone: [], cursor: "x", more: false };
    const since = f.rev ?? 0;
    const changed = this.messages.filter((m) => m.rev > since).sort((a, b) => a.rev - b.rev);
    const messages = changed.slice(0, changesSize);
    return {
      ...{ t: "changes", id: f.id, conversation: "c", messages },
      ...(changed.length > changesSize
        ? { rev: messages.at(-1)!.rev, more: true }
        : { rev: Math.max(since, this.rev), more: false }),
    };
  }
}

/** A request under way: read is its effect at the server, deliver its answer. */
type Request = { read: () => unknown; answer?: unknown; deliver: (answer: unknown) => void };

async function open(seed: number) {
  const random = randomFrom(seed);
  const model = new ServerModel(20 + random(20));
  const fixture = setup({ me });
  const session = new Session({
    ...fixture,
    storage: new FakeStorage(),
    account: me.id,
    tabs: new Tabs(me.id),
    dial: fixture.server.dial,
    onConnected: () => {},
    onRevoked: () => {},
    onOtherAccount: () => {},
  });
  const requests: Request[] = [];
  const ask = (read: () => unknown) => new Promise((resolve) => requests.push({ read, deliver: resolve }));
  fixture.server.on("GET /conversations/c", () => ask(() => model.summary()));
  fixture.server.on("GET /conversations/c/messages", (path) =>
    ask(() => model.history(new URL(path, "http://page").searchParams)),
  );
  fixture.server.on("PATCH /conversations/c", (_, body) =>
    ask(() => {
      model.rename((body as { title: string }).title);
      return model.summary();
    }),
  );
  await session.start();
  fixture.server.hello();
  const socket = fixture.server.socket;
  let seen = 0;
  /** Takes up the frames that the page has sent since the last call. */
  const takeSyncs = () => {
    for (; seen < socket.sent.length; seen++) {
      const f = socket.sent[seen]!;
      if (f.t === "sync")
        requests.push({ read: () => model.sync(f), deliver: (a) => socket.receive(a as object) });
    }
  };
  const settle = async () => {
    await vi.advanceTimersByTimeAsync(0);
    takeSyncs();
  };
  const read = (r: Request) => {
    r.answer ??= r.read();
  };
  const deliver = async (i: number) => {
    const [r] = requests.splice(i, 1);
    read(r!);
    r!.deliver(structuredClone(r!.answer));
    await settle();
  };
  const push = async () => {
    const f = model.pushes.shift();
    if (f) socket.receive(f);
    await settle();
  };
  const state = () => fixture.store.getState();
  const timeline = () => state().timelines.c;
  await settle();
  await deliver(0);
  void session.timelines.open("c", 1 + random(model.messages.length));

  const expectContiguous = () => {
    const all = timeline()?.messages ?? [];
    expect(all.map((m) => m.seq)).toEqual(all.map((_, i) => all[0]!.seq + i));
  };
  const actions: [weight: number, () => void | Promise<void>][] = [
    [6, () => model.send()],
    [8, () => model.edit(1 + random(model.messages.length))],
    [2, () => model.delete(1 + random(model.messages.length))],
    [1, () => model.rename("by another")],
    [1, () => void session.conversations.update("c", "by me", "")],
    [16, push],
    [1, () => void session.timelines.open("c")],
    [2, () => void session.timelines.open("c", 1 + random(model.messages.length))],
    [1, () => void session.timelines.openLatest("c")],
    [8, () => void session.timelines.loadOlder("c")],
    [8, () => void session.timelines.loadNewer("c")],
    [
      10,
      () =>
        requests
          .slice(random(Math.max(requests.length, 1)))
          .slice(0, 1)
          .forEach(read),
    ],
    [8, () => (requests.length > 0 ? deliver(random(requests.length)) : undefined)],
    [1, () => socket.receive({ t: "resync" })],
    [1, () => void model.pushes.shift()], // it is lost
    [2, () => vi.advanceTimersByTimeAsync(random(1500)).then(() => {})],
  ];
  const total = actions.reduce((n, [weight]) => n + weight, 0);
  const step = async () => {
    let n = random(total);
    await actions.find(([weight]) => (n -= weight) < 0)![1]();
    await settle();
    expectContiguous();
  };
  /** Delivers everything, and has the page find out what was lost. */
  const finish = async () => {
    for (let quiet = 0; quiet < 3;) {
      quiet++;
      while (model.pushes.length > 0 || requests.length > 0) {
        quiet = 0;
        while (model.pushes.length > 0) await push();
        while (requests.length > 0) await deliver(random(requests.length));
      }
      // The server finds by a ping that the page lacks something.
      if (state().conversations.c?.rev !== model.rev) socket.receive({ t: "resync" });
      await vi.advanceTimersByTimeAsync(3000);
      takeSyncs();
    }
  };
  return { model, session, step, finish, timeline, state };
}

const content = ({ seq, rev, body, deleted_at }: Message) => ({ seq, rev, body, deleted_at });

describe("answers and pushes that overtake each other", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("leave the page with what the server has", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= schedules; seed++) {
      const { model, session, step, finish, timeline, state } = await open(seed);
      for (let i = 0; i < steps; i++) await step();
      await finish();
      const label = `schedule ${seed}`;
      expect(state().conversations.c, label).toMatchObject({ rev: model.rev, title: model.title });
      const t = timeline();
      if (t) {
        const first = t.messages[0]!.seq;
        const there = model.messages.slice(first - 1, first - 1 + t.messages.length);
        expect(t.messages.map(content), label).toEqual(there.map(content));
        expect([t.hasBefore, t.hasAfter], label).toEqual([
          first > 1,
          t.messages.at(-1)!.seq < model.messages.length,
        ]);
      }
      session.stop();
    }
  });
});
