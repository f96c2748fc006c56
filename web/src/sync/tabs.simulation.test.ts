// @vitest-environment node
// The tabs of one account on a synthetic clock: a person writes now in one and now in
// another, opens and closes them. Tabs are frozen and lose their connections, databases
// fail and hang, the server refuses messages, for now and for good, and is late. When
// that has ended every message is stored once, in the order in which it was written, or
// is shown as failed, and all tabs show the same.
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import type { ClientFrame, Rejected } from "../protocol/types";
import { DeviceStorage } from "./devicestorage";
import { Events, randomFrom } from "./events";
import { FakeBrowser, type Subject } from "./fakebrowser";
import { Outbox, type OutboxMessage } from "./outbox";
import type { Storage, StoredMessage } from "./storage";
import { Tabs } from "./tabs";

const schedules = 10_000;
const shards = 4;

const faultsFor = 8_000;
/** How long the tab that the person looks at may take after that. */
const settleTime = 12_000;
const maxTabs = 4;
const inFlightLimit = 5;
/** From writing a message to sending it, in a tab that did not send before. */
const takeoverBound = 25;

type Send = Extract<ClientFrame, { t: "send" }>;
type Written = { conversation: string; body: string; id: string };

/** What a tab does while it is frozen is done when it is not any more; what it does
 * after its end is not done. */
class Tab {
  isClosed = false;
  isFrozen = false;
  isVisible = false;
  deferred: (() => void)[] = [];
  /** When the last of what it has for the browser comes there, and the other way. */
  readonly outbound = { channel: 0, locks: 0 };
  readonly inbound = { channel: 0, locks: 0 };
  connection: Connection | undefined;
  shown: OutboxMessage[] = [];
  /** Whether its database fails, or leaves requests unanswered. */
  database: "works" | "fails" | "hangs" = "works";
  outbox!: Outbox;
  tabs!: Tabs;
  storage!: DeviceStorage;

  constructor(readonly name: string) {}
}

/** Connection is one connection at the server; what comes and goes keeps its order. */
class Connection {
  isOpen = true;
  /** The server takes what has come until then, which may be after the end. */
  lastArrival = Infinity;
  uplink = 0;
  downlink = 0;
  arrivals = 0;
  /** By conversation, what was refused for now, by its first arrival. */
  readonly refused = new Map<string, { id: string; arrival: number }[]>();

  constructor(readonly tab: Tab) {}
}

class Simulation {
  private readonly random: (n: number) => number;
  private readonly events = new Events();
  now = 0;
  private faulty = true;
  /** Whether there are faults at all: without them nothing is sent twice. */
  private readonly calm: boolean;

  private readonly browser = new FakeBrowser(
    (tab, subject, run) => this.events.add(this.arrival((tab as Tab).outbound, subject), run),
    (tab, subject, run) => {
      const t = tab as Tab;
      this.events.add(this.arrival(t.inbound, subject), () => this.inTab(t, run));
    },
  );
  private current: Tab | undefined;
  private tabs: Tab[] = [];
  private tabsOpened = 0;
  /** The tab that the person uses. */
  private focus!: Tab;
  private readonly database = new Map<string, StoredMessage>();
  private databaseTime = 0;

  private readonly written: Written[] = [];
  private ids = 0;
  /** Ids of messages that the person was told of, and has discarded or sent anew. */
  private readonly givenUp = new Set<string>();
  private readonly mayBeLost = new Set<string>();
  private readonly sends = new Map<string, { at: number; times: number }>();
  private readonly writtenAt = new Map<string, number>();

  // The server: what each conversation's queue has taken, and what is stored.
  private readonly published = new Set<string>();
  private readonly queue: Send[] = [];
  private readonly stored: Send[] = [];
  private readonly refused = new Map<string, string>();
  private readonly failed = new Map<string, string>();

  constructor(seed: number) {
    this.random = randomFrom(seed);
    this.calm = seed % 4 === 0;
  }

  async run() {
    this.focus = this.open();
    this.focus.isVisible = true;
    this.after(undefined, 100, () => this.act());
    await this.runUntil(faultsFor);
    this.faulty = false;
    for (const t of this.tabs) t.database = "works";
    if (this.focus.isFrozen) this.thaw(this.focus);
    // What other tabs have may be known to none but them, if they are frozen.
    const told = new Set(this.focus.shown.map((m) => m.id));
    await this.runUntil(faultsFor + settleTime);
    this.checkSettled(this.focus, told);
    for (const t of this.tabs) if (t.isFrozen) this.thaw(t);
    await this.runUntil(faultsFor + 2 * settleTime);
    // Another page takes up whatever was left.
    this.focus = this.open();
    this.focus.isVisible = true;
    await this.runUntil(faultsFor + 3 * settleTime);
    this.check();
  }

  private async runUntil(end: number) {
    this.events.add(end, () => {});
    for (;;) {
      const e = this.events.next()!;
      this.now = e.at;
      this.current = undefined;
      e.run();
      // Everything that follows from it is done before anything else.
      await new Promise((resolve) => setImmediate(resolve));
      if (e.at >= end) return;
    }
  }

  private fail(text: string): never {
    throw new Error(`after ${this.now} ms: ${text}`);
  }

  private checkSettled(t: Tab, told: Set<string>) {
    for (const m of t.shown)
      if (m.state !== "failed" && told.has(m.id)) this.fail(`${t.name} shows ${m.id} as ${m.state}`);
  }

  private check() {
    const bodies = this.stored.map((m) => m.body);
    if (new Set(bodies).size !== bodies.length) this.fail(`stored twice: ${bodies.join(" ")}`);
    const shown = (t: Tab) => t.shown.map((m) => `${m.id} ${m.state} ${m.code}`).join(", ");
    for (const t of this.tabs)
      if (shown(t) !== shown(this.focus))
        this.fail(`${t.name} shows ${shown(t)}; ${this.focus.name} shows ${shown(this.focus)}`);
    for (const m of this.focus.shown) if (m.state !== "failed") this.fail(`${m.id} is ${m.state}`);
    for (const w of this.written) {
      const isStored = this.stored.some((m) => m.id === w.id);
      const isFailed = this.focus.shown.some((m) => m.id === w.id);
      if (isStored && isFailed) this.fail(`${w.id} is stored and failed`);
      if (!isStored && !isFailed && !this.givenUp.has(w.id) && !this.mayBeLost.has(w.id))
        this.fail(`${w.id} has gone`);
    }
    for (const conversation of ["a", "b"]) {
      const first = this.written.filter((w) => w.conversation === conversation).map((w) => w.id);
      const got = this.stored.filter((m) => first.includes(m.id) && m.conversation === conversation);
      const order = got.map((m) => first.indexOf(m.id));
      if (order.some((n, i) => i > 0 && n < order[i - 1]!)) this.fail(`order: ${order.join(" ")}`);
    }
    if (!this.calm) return;
    for (const [id, { at, times }] of this.sends) {
      if (times > 1) this.fail(`${id} was sent ${times} times`);
      const late = at - this.writtenAt.get(id)!;
      if (late > takeoverBound) this.fail(`${id} was sent ${late} ms late`);
    }
  }

  // The person

  private act() {
    if (!this.faulty) return;
    const n = this.random(100);
    const { focus } = this;
    if (n < 45) this.write(focus);
    else if (n < 60) this.look(this.tabs[this.random(this.tabs.length)]!);
    else if (n < 66) this.look(this.tabs.length < maxTabs ? this.open() : focus);
    else if (n < 72 && this.tabs.length > 1) this.close(this.tabs[this.random(this.tabs.length)]!);
    else if (n < 80) this.decide(focus);
    else if (!this.calm) this.fault(this.tabs[this.random(this.tabs.length)]!);
    this.after(undefined, this.calm ? 250 + this.random(400) : 30 + this.random(400), () => this.act());
  }

  private write(t: Tab) {
    this.current = t;
    const w = { conversation: "ab"[this.random(2)]!, body: `text ${this.written.length}`, id: this.newId() };
    this.written.push(w);
    this.writtenAt.set(w.id, this.now);
    void t.outbox.add(w.id, w.conversation, w.body, 0, this.now);
  }

  private newId() {
    return `m${String(++this.ids).padStart(4, "0")}`;
  }

  /** Goes to another tab. The one before is hidden, unless it is in another window. */
  private look(t: Tab) {
    if (this.random(3) > 0) this.focus.isVisible = false;
    this.focus = t;
    if (t.isFrozen) this.thaw(t);
    t.isVisible = true;
    this.after(t, 1, () => t.outbox.attended());
  }

  /** Does something about a message that has failed. */
  private decide(t: Tab) {
    const m = t.shown.find((x) => x.state === "failed");
    if (!m) return;
    this.current = t;
    this.givenUp.add(m.id);
    if (this.random(2)) {
      t.outbox.remove(m.id);
      return;
    }
    const id = this.newId();
    this.writtenAt.set(id, this.now);
    t.outbox.retry(m.id, id);
  }

  // Tabs

  private open(): Tab {
    const t = new Tab(`tab ${++this.tabsOpened}`);
    this.tabs.push(t);
    this.current = t;
    t.tabs = new Tabs("1", this.browser.openChannel(t), this.browser.locks(t), () => t.isVisible);
    t.storage = new DeviceStorage(
      async () => this.openDatabase(t),
      (isOpen) => {
        if (isOpen && t.outbox) void t.outbox.load();
      },
    );
    t.outbox = new Outbox(
      t.storage,
      (f) => this.send(t, f),
      (shown) => (t.shown = shown),
      t.tabs,
    );
    t.tabs.onMessage = (m) => {
      if (m.t !== "draft") t.outbox.receive(m);
    };
    void t.storage
      .open()
      .then(() => t.outbox.load())
      .then(() => this.after(t, 0, () => this.connect(t)));
    return t;
  }

  private close(t: Tab) {
    const rest = this.tabs.filter((x) => x !== t);
    // What no other tab and no database has is lost; the person was told so.
    for (const m of t.shown)
      if (!this.database.has(m.id) && !rest.some((x) => x.shown.some((y) => y.id === m.id)))
        this.mayBeLost.add(m.id);
    t.isClosed = true;
    if (t.connection) this.end(t.connection);
    this.browser.end(t);
    this.tabs = rest;
    if (this.focus === t) this.look(rest[this.random(rest.length)]!);
  }

  private fault(t: Tab) {
    const n = this.random(10);
    if (n < 4) this.cut(t);
    else if (n < 6) for (const x of this.tabs) this.cut(x);
    else if (n < 8) {
      if (t !== this.focus) t.isFrozen = true;
    } else {
      t.database = this.random(2) ? "fails" : "hangs";
      this.after(undefined, this.random(8000), () => (t.database = "works"));
    }
  }

  private thaw(t: Tab) {
    t.isFrozen = false;
    for (const run of t.deferred.splice(0)) this.after(t, 0, run);
  }

  private inTab(t: Tab, run: () => void) {
    if (t.isClosed) return;
    if (t.isFrozen) {
      t.deferred.push(run);
      return;
    }
    this.current = t;
    run();
  }

  /** When something comes that goes now: after what went before. */
  private arrival(last: Record<Subject, number>, subject: Subject) {
    return (last[subject] = Math.max(last[subject], this.now + 1 + this.random(3)));
  }

  /** Calls run after a time, in a tab or outside of all. */
  private after(t: Tab | undefined, ms: number, run: () => void) {
    this.events.add(this.now + ms, () => (t ? this.inTab(t, run) : run()));
  }

  /** The page's timers; those of a hidden tab are slow. */
  setTimer(run: () => void, ms: number) {
    const t = this.current;
    if (!t) this.fail("a timer that belongs to no tab");
    const timer = { cleared: false };
    const slow = t.isVisible || this.calm ? 0 : this.random(1000);
    this.after(t, ms + slow, () => {
      if (!timer.cleared) run();
    });
    return timer;
  }

  // The database, which does one thing after the other

  private async openDatabase(t: Tab): Promise<Storage> {
    const request = <T>(run: () => T) =>
      new Promise<T>((resolve, reject) => {
        if (t.database === "hangs") return;
        this.databaseTime = Math.max(this.databaseTime, this.now + this.random(4));
        this.events.add(this.databaseTime, () => {
          if (t.database === "fails") {
            this.inTab(t, () => reject(new Error("the database has failed")));
            return;
          }
          if (t.isClosed && this.random(2)) return;
          const result = run();
          this.inTab(t, () => resolve(result));
        });
      });
    await request(() => {});
    const inOrder = (a: StoredMessage, b: StoredMessage) => a.order - b.order;
    const storage: Pick<Storage, "outbox" | "save" | "delete" | "close"> = {
      outbox: () => request(() => [...this.database.values()].sort(inOrder)),
      save: (m) => request(() => void this.database.set(m.id, m)),
      delete: (id) => request(() => void this.database.delete(id)),
      close: () => {},
    };
    return storage as Storage;
  }

  // The network

  private connect(t: Tab) {
    if (t.connection?.isOpen) return;
    const c = new Connection(t);
    t.connection = c;
    // A connection takes longer than a question to the other tabs.
    c.downlink = this.now + 10;
    this.toTab(c, () => {
      t.outbox.connected(inFlightLimit);
      // Its sync tells what was stored, and what has failed, while it was away.
      this.toTab(c, () => {
        for (const m of this.stored) t.outbox.stored(m.id);
        for (const [id, code] of this.failed) t.outbox.failed(id, code);
      });
    });
  }

  private end(c: Connection) {
    if (!c.isOpen) return;
    c.isOpen = false;
    c.lastArrival = this.calm ? c.uplink : this.now + this.random(this.random(4) ? 40 : 1500);
  }

  private cut(t: Tab) {
    const c = t.connection;
    if (!c?.isOpen) return;
    this.end(c);
    // The page may see that late, and sends into the void until then.
    this.after(t, this.random(4) ? 0 : this.random(3000), () => {
      t.outbox.disconnected();
      this.after(t, this.faulty ? this.random(2000) : this.random(500), () => this.connect(t));
    });
  }

  private send(t: Tab, f: ClientFrame): boolean {
    const c = t.connection!;
    if (f.t === "send") {
      const before = this.sends.get(f.id);
      this.sends.set(f.id, { at: before?.at ?? this.now, times: (before?.times ?? 0) + 1 });
    }
    const late = this.calm || !this.faulty ? 20 : this.random(20) ? 40 : 1500;
    c.uplink = Math.max(c.uplink, this.now + this.random(late));
    this.events.add(c.uplink, () => {
      if (this.now > c.lastArrival) return;
      if (f.t === "send") this.take(c, f);
      if (f.t === "withdraw") this.settle(c, f.id);
    });
    return true;
  }

  private toTab(c: Connection, run: () => void) {
    c.downlink = Math.max(c.downlink, this.now + this.random(20));
    this.events.add(c.downlink, () => this.inTab(c.tab, () => (c.isOpen ? run() : undefined)));
  }

  // The server

  /** Takes or refuses a message, as the gateway does. */
  private take(c: Connection, f: Send) {
    const waiting = c.refused.get(f.conversation) ?? [];
    const arrival = waiting.find((r) => r.id === f.id)?.arrival ?? ++c.arrivals;
    const first = waiting[0];
    if (first && first.arrival < arrival) {
      this.refuse(c, f, arrival, { code: "order", retry_after_ms: 50, waits_for: first.id });
      return;
    }
    const isRefusing = this.faulty && !this.calm;
    if (isRefusing && this.random(8) === 0) {
      // The outcome may be unknown to the gateway.
      if (!this.refused.has(f.id) && this.random(4) === 0) this.publish(f);
      this.refuse(c, f, arrival, { code: "unavailable", retry_after_ms: 50 + this.random(1500) });
      return;
    }
    this.settle(c, f.id);
    if (!this.published.has(f.id) && isRefusing && this.random(15) === 0) this.refused.set(f.id, "not_found");
    const code = this.refused.get(f.id) ?? this.failed.get(f.id);
    if (code) {
      this.toTab(c, () => c.tab.outbox.rejected({ id: f.id, code } as Rejected));
      return;
    }
    this.publish(f);
    this.toTab(c, () => c.tab.outbox.accepted(f.id));
  }

  private refuse(c: Connection, f: Send, arrival: number, answer: Partial<Rejected>) {
    const waiting = c.refused.get(f.conversation) ?? [];
    if (!waiting.some((r) => r.id === f.id)) waiting.push({ id: f.id, arrival });
    waiting.sort((a, b) => a.arrival - b.arrival);
    c.refused.set(f.conversation, waiting);
    this.toTab(c, () => c.tab.outbox.rejected({ id: f.id, ...answer } as Rejected));
  }

  /** A message does not hold up those behind it on a connection any more. */
  private settle(c: Connection, id: string) {
    for (const [conversation, waiting] of c.refused)
      c.refused.set(
        conversation,
        waiting.filter((r) => r.id !== id),
      );
  }

  private publish(f: Send) {
    this.published.add(f.id);
    if (this.queue.length === 0)
      this.after(undefined, this.faulty && !this.calm ? this.random(300) : 10, () => this.work());
    this.queue.push(f);
  }

  /** Stores what is in the queue, in its order and once, and tells all tabs. */
  private work() {
    for (const f of this.queue.splice(0)) {
      if (this.failed.has(f.id)) continue;
      const isNew = !this.stored.some((m) => m.id === f.id);
      if (isNew && this.faulty && !this.calm && this.random(40) === 0) {
        this.failed.set(f.id, "not_found");
        this.push((t) => t.outbox.failed(f.id, "not_found"));
        continue;
      }
      if (isNew) this.stored.push(f);
      this.push((t) => t.outbox.stored(f.id));
    }
  }

  /** Pushes to all tabs; what is lost on the way comes by a sync. */
  private push(run: (t: Tab) => void) {
    for (const t of this.tabs) {
      const c = t.connection;
      if (!c) continue;
      const late = this.faulty && !this.calm && this.random(10) === 0 ? this.random(3000) : 0;
      this.after(undefined, late, () => this.toTab(c, () => run(t)));
    }
  }
}

describe("the tabs of an account send each message once, in order, and show the same", () => {
  let simulation: Simulation;

  beforeEach(() => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.spyOn(Date, "now").mockImplementation(() => 1e12 + simulation.now);
    vi.stubGlobal("setTimeout", (run: () => void, ms: number) => simulation.setTimer(run, ms));
    vi.stubGlobal("clearTimeout", (timer?: { cleared: boolean }) => timer && (timer.cleared = true));
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  for (let shard = 0; shard < shards; shard++)
    it(`schedules ${shard}, ${shard + shards}, ${shard + 2 * shards} …`, { timeout: 300_000 }, async () => {
      for (let seed = shard; seed < schedules; seed += shards) {
        simulation = new Simulation(seed);
        try {
          await simulation.run();
        } catch (e) {
          throw new Error(`schedule ${seed}: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
        }
      }
    });
});
