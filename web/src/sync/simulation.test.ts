// The bound of G4, on a synthetic clock, as for the Go client (simulation_test.go
// beside its state machine): while pushes are lost, with and without the gateway's
// knowing, overtake each other and arrive late, while requests are refused and
// connections cut, while the user is removed from conversations and comes back, and
// opens timelines whose pages of history come late and in any order, a page may
// fall behind. Five seconds after all of that has ended it has everything, though
// traffic goes on.
import { describe, it } from "vitest";
import type { Changes, ClientFrame, ConversationFrame, History } from "../protocol/types";
import type { Message, MessageFrame, ServerFrame, Summary, Synced } from "../protocol/types";
import { apply } from "./apply";
import { catchUp, emptyChangeLog } from "./changelog";
import { Events, randomFrom } from "./events";
import { emptySyncState, type SyncState } from "./store";
import { Machine, type Output } from "./syncstate";
import { append, firstSeq, fromHistory, lastSeq, prepend, type Timeline } from "./timeline";

const schedules = 10_000;
const shards = 4;

const faultsFor = 12_000;
const repairBound = 5000;
const heartbeat = 3000;
/** Within so long a gateway knows that its bus has lost something. */
const gapLatency = 2000;
const latency = 40;
/** Entries of an answer, and of a page of history. */
const pageSize = 3;
const historySize = 5;
const me = { id: "1", name: "aki", display_name: "Aki" };

type Sync = Extract<ClientFrame, { t: "sync" }>;

/** ConversationModel is a conversation as the server has it. */
class ConversationModel {
  rev = 0;
  readonly messages: Message[] = [];
  membersRev = 0;
  /** The number of its last change, and of that of the membership. */
  changed = 0;
  joined = 0;
  /** Its titles by rev. */
  private readonly titles = ["0"];

  constructor(
    readonly id: string,
    public member: boolean,
  ) {}

  /** The number of the last change that concerns the user. */
  get position() {
    return this.member ? Math.max(this.joined, this.changed) : this.joined;
  }

  /** Takes the next rev. */
  next(change: number, title?: boolean) {
    this.changed = change;
    this.rev++;
    this.titles.push(title ? String(this.rev) : this.titles.at(-1)!);
  }

  titleAt(rev: number) {
    return this.titles[rev]!;
  }

  summary(): Summary {
    const seq = this.messages.length;
    return {
      id: this.id,
      kind: "group",
      title: this.titleAt(this.rev),
      seq,
      rev: this.rev,
      members_rev: this.membersRev,
      members: 2,
      created_at: 0,
      active_at: 0,
      role: "member",
      read: 0,
      unread: seq,
      last: this.messages.at(-1),
    };
  }

  page(f: Sync): Changes {
    const since = f.rev ?? 0;
    const messages = this.messages.filter((m) => m.rev > since).sort((a, b) => a.rev - b.rev);
    const more = messages.length > pageSize;
    if (more) messages.length = pageSize;
    const rev = more ? messages.at(-1)!.rev : this.rev;
    return { t: "changes", id: f.id, conversation: this.id, messages, rev, more };
  }

  /** The messages around a seq. */
  history(first: number): History {
    const from = Math.max(first, 1);
    const items = this.messages.slice(from - 1, from - 1 + historySize);
    const last = items.at(-1)?.seq ?? from - 1;
    return { items, has_before: from > 1, has_after: last < this.messages.length, rev: this.rev };
  }
}

/** Simulation is a server with one user's conversations, the network, and a page. */
class Simulation {
  private readonly random: (n: number) => number;
  private readonly events = new Events();
  private now = 0;
  private faulty = true;
  private changesMade = 0;
  private readonly conversations: ConversationModel[] = [];
  /** The number of the key that cursors are sealed with. */
  private key = 1;

  /** The number of the connection, 0 without one; its frames keep their order. */
  private connection = 0;
  private connections = 0;
  private uplink = 0;
  private downlink = 0;

  private readonly page = new Machine();
  private state: SyncState = { ...emptySyncState, me };
  private cursor = "";
  /** The conversations whose timeline was opened as of a rev that the cursor may be
   * past: what they lack is known to the machine alone. */
  private readonly openedBehind = new Set<string>();
  /** When the machine is to be called next. */
  private tickAt: number | undefined;
  /** The windows that were asked for, and by conversation the one that is shown. */
  private lastWindow = 0;
  private readonly windows = new Map<string, number>();

  constructor(seed: number) {
    this.random = randomFrom(seed);
    const size = 2 + this.random(5);
    for (let i = 0; i < size; i++) {
      const c = new ConversationModel(String(i), this.random(4) > 0);
      this.conversations.push(c);
      if (c.member) c.joined = ++this.changesMade;
      for (let n = this.random(6); n > 0; n--) this.change(c);
    }
  }

  run() {
    this.connect();
    this.after(0, () => this.act());
    let want: number[] = [];
    this.events.add(faultsFor, () => {
      this.faulty = false;
      want = this.conversations.map((c) => c.rev);
    });
    for (let e = this.events.next(); e && e.at <= faultsFor + repairBound; e = this.events.next()) {
      this.now = e.at;
      e.run();
    }
    this.check(want);
  }

  /** Compares the page with the server: it has every conversation up to where it was
   * when the faults ended, or later. */
  private check(want: number[]) {
    this.conversations.forEach((c, i) => {
      const has = this.page.has(c.id);
      const shown = this.state.conversations[c.id];
      if (has !== c.member || (shown !== undefined) !== c.member)
        this.fail(`conversation ${c.id}: the page has it: ${has}; the user is a member: ${c.member}`);
      if (!shown) return;
      const rev = this.page.rev(c.id);
      if (rev < want[i]!) this.fail(`conversation ${c.id}: seen up to ${rev} of ${want[i]}`);
      if (shown.rev < rev) this.fail(`conversation ${c.id}: the summary is of ${shown.rev}, not ${rev}`);
      this.checkTimeline(c, rev);
      if (shown.rev !== c.rev) return; // what was said since is on its way
      const { title, seq, unread, last } = c.summary();
      if (
        shown.title !== title ||
        shown.seq !== seq ||
        shown.unread !== unread ||
        shown.last?.rev !== last?.rev
      )
        this.fail(`conversation ${c.id}: ${JSON.stringify(shown)} is not ${JSON.stringify(c.summary())}`);
    });
  }

  /** Compares what is shown of a conversation with what the server has. */
  private checkTimeline(c: ConversationModel, seen: number) {
    const t = this.state.timelines[c.id];
    if (!t) return;
    if (t.rev < seen) this.fail(`conversation ${c.id}: the timeline is of ${t.rev}, not ${seen}`);
    const first = firstSeq(t);
    t.messages.forEach((m, i) => {
      const there = c.messages[first - 1 + i]!;
      if (m.seq !== there.seq || (there.rev <= seen && m.rev !== there.rev))
        this.fail(`conversation ${c.id}: message ${m.seq} is shown as of ${m.rev}, not ${there.rev}`);
    });
    const next = c.messages[lastSeq(t)];
    if (next && next.rev <= seen && !t.hasAfter && t.messages.length > 0)
      this.fail(`conversation ${c.id}: message ${next.seq} of ${next.rev} is not shown, though seen`);
  }

  private fail(text: string): never {
    throw new Error(`after ${this.now} ms: ${text}`);
  }

  /** Does something at random, and again a little later. */
  private act() {
    const c = this.conversations[this.random(this.conversations.length)]!;
    const n = this.random(100);
    if (!this.faulty) {
      if (n < 30) this.push(c, this.change(c)); // traffic goes on
    } else if (n < 60) {
      for (let times = 1 + this.random(4); times > 0; times--) this.push(c, this.change(c));
    } else if (n < 66) this.setMember(c, !c.member);
    else if (n < 72) this.cut();
    else if (n < 90) this.read(c);
    this.after(this.random(400), () => this.act());
  }

  // The server

  /** Adds a message to a conversation, edits one, or renames it. */
  private change(c: ConversationModel): MessageFrame | ConversationFrame {
    const n = this.random(10);
    const isRenamed = n >= 9 && c.messages.length > 0;
    c.next(++this.changesMade, isRenamed);
    if (isRenamed) {
      return { t: "conversation", conversation: c.summary(), by: "2" };
    }
    const isNew = n < 7 || c.messages.length === 0;
    const seq = isNew ? c.messages.length + 1 : 1 + this.random(c.messages.length);
    const m: Message = {
      conversation: c.id,
      seq,
      rev: c.rev,
      id: String(seq),
      sender: "2",
      client_id: "m" + seq,
      body: "",
      at: 0,
    };
    c.messages[seq - 1] = m;
    return { t: isNew ? "message" : "edited", ...m };
  }

  private setMember(c: ConversationModel, member: boolean) {
    c.member = member;
    c.joined = ++this.changesMade;
    c.next(c.joined);
    c.membersRev = c.rev;
    if (member) this.push(c, { t: "conversation", conversation: c.summary(), by: "2", joined: [me] });
    else this.deliver({ t: "removed", conversation: c.id, rev: c.rev });
  }

  /** Sends a frame to the page, if the user may have it. */
  private push(c: ConversationModel, f: ServerFrame) {
    if (c.member) this.deliver(f);
  }

  /** Sends a frame over the bus and the connection. The bus may lose it: the gateway
   * knows soon, or nobody does. It may be overtaken. */
  private deliver(f: ServerFrame) {
    const n = this.faulty ? this.random(20) : 20;
    if (n < 3) this.afterOnConnection(this.random(gapLatency), () => this.toPage({ t: "resync" }));
    else if (n >= 6) this.afterOnConnection(n < 9 ? this.random(500) : 0, () => this.toPage(f));
  }

  private answer(f: Sync) {
    if (this.faulty && this.random(5) === 0) {
      const retry_after_ms = this.random(1500);
      this.toPage({ t: "error", id: f.id, code: "unavailable", text: "", retry_after_ms });
      return;
    }
    if (!f.conversation) {
      if (this.faulty && this.random(50) === 0) this.key++;
      const position = this.positionOf(f.cursor ?? "");
      if (position === undefined) this.toPage({ t: "error", id: f.id, code: "invalid", text: "" });
      else this.toPage(this.list(f.id, position));
      return;
    }
    const c = this.conversations[Number(f.conversation)]!;
    this.toPage(c.member ? c.page(f) : { t: "error", id: f.id, code: "not_found", text: "" });
  }

  /** The position that a cursor stands for, undefined for one that was sealed with a
   * key from before. */
  private positionOf(cursor: string) {
    const [key, position] = cursor.split(":").map(Number);
    if (!cursor) return 0;
    return key === this.key ? position : undefined;
  }

  private list(id: string, after: number): Synced {
    let position = after;
    const changed = this.conversations
      .filter((c) => c.position > position && (after > 0 || c.member))
      .sort((a, b) => a.position - b.position);
    const conversations: Summary[] = [];
    const gone: string[] = [];
    for (const c of changed.slice(0, pageSize)) {
      position = c.position;
      if (c.member) conversations.push(c.summary());
      else gone.push(c.id);
    }
    const more = changed.length > pageSize;
    return { t: "synced", id, conversations, gone, failed: [], cursor: `${this.key}:${position}`, more };
  }

  // The network

  private connect() {
    this.connection = ++this.connections;
    this.uplink = this.downlink = this.now;
    this.tickAt = undefined;
    this.follow(this.page.connected(this.now, me.id, "e"));
    this.afterOnConnection(heartbeat, () => this.ping());
  }

  private cut() {
    if (!this.connection) return;
    this.connection = 0;
    this.after(this.random(1000), () => this.connect());
  }

  /** Sends a heartbeat. The server looks whether anything changed since its cursor. */
  private ping() {
    const { cursor } = this.page;
    this.toServer(() => {
      if (!cursor || (this.faulty && this.random(3) === 0)) return;
      const position = this.positionOf(cursor) ?? 0;
      if (this.conversations.some((c) => c.position > position)) this.toPage({ t: "resync" });
    });
    this.afterOnConnection(heartbeat, () => this.ping());
  }

  private toPage(f: ServerFrame) {
    this.downlink = Math.max(this.downlink, this.now + this.random(latency));
    this.onConnection(this.downlink, () => {
      this.follow(this.page.handle(this.now, f));
      if ("conversation" in f && f.t !== "removed") this.checkSeen(f);
    });
  }

  private toServer(run: () => void) {
    this.uplink = Math.max(this.uplink, this.now + this.random(latency));
    this.onConnection(this.uplink, run);
  }

  /** Whatever was seen is in the store from that moment on. */
  private checkSeen(f: { conversation: string | { id: string } }) {
    const id = typeof f.conversation === "string" ? f.conversation : f.conversation.id;
    const c = this.conversations[Number(id)]!;
    const shown = this.state.conversations[id];
    if (!shown) return;
    const seen = this.page.rev(id);
    if (seen === shown.rev) this.openedBehind.delete(id);
    if (shown.rev < seen) this.fail(`conversation ${id}: the summary is of ${shown.rev}, not ${seen}`);
    if (shown.title !== c.titleAt(shown.rev))
      this.fail(`conversation ${id}: "${shown.title}" is not its title as of ${shown.rev}`);
    this.checkTimeline(c, seen);
  }

  /** The cursor never moves past what was not seen. */
  private checkCursor() {
    const { cursor } = this.page;
    const position = this.positionOf(cursor);
    if (!position || cursor === this.cursor) return;
    this.cursor = cursor;
    for (const c of this.conversations)
      if (
        c.position <= position &&
        this.page.has(c.id) &&
        this.page.rev(c.id) < c.rev &&
        !this.openedBehind.has(c.id)
      )
        this.fail(
          `conversation ${c.id}: seen up to ${this.page.rev(c.id)} of ${c.rev}, and the cursor is past that`,
        );
  }

  // The page

  private follow({ apply: all, send }: Output) {
    this.state = { ...this.state, ...apply(this.state, all) };
    this.checkCursor();
    for (const f of send) this.toServer(() => this.answer(f));
    const { due } = this.page;
    if (due === undefined || !this.connection || (this.tickAt !== undefined && due >= this.tickAt)) return;
    const at = Math.max(due, this.now);
    this.tickAt = at;
    this.onConnection(at, () => {
      this.tickAt = undefined;
      this.follow(this.page.tick(this.now));
    });
  }

  /** Opens a timeline, in one place or another, or asks for more of it. Until the
   * answer comes pushes overtake it, other windows, or the user's removal. */
  private read(c: ConversationModel) {
    const { id } = c;
    if (!this.state.conversations[id]) return;
    const t = this.state.timelines[id];
    const kind = this.random(4);
    const removals = this.state.removals[id];
    const ask = (first: number, use: (h: History) => Timeline | undefined) =>
      this.after(this.random(300), () => {
        if (!c.member) return;
        const h = c.history(first);
        this.after(this.random(600), () => {
          if (this.state.removals[id] !== removals || !this.state.conversations[id]) return;
          const changed = use(h);
          if (!changed) return;
          const timeline = catchUp(changed, this.state.changeLogs[id]);
          this.state = { ...this.state, timelines: { ...this.state.timelines, [id]: timeline } };
          if (timeline.rev < this.page.rev(id)) this.openedBehind.add(id);
          this.follow(this.page.loaded(this.now, id, timeline.rev));
        });
      });
    if (!t || kind < 2) {
      const window = ++this.lastWindow;
      if (!this.state.changeLogs[id]) {
        const log = emptyChangeLog(this.state.conversations[id].rev);
        this.state = { ...this.state, changeLogs: { ...this.state.changeLogs, [id]: log } };
      }
      ask(
        kind ? c.messages.length - historySize + 1 : 1 + this.random(Math.max(c.messages.length, 1)),
        (h) => {
          if (window < (this.windows.get(id) ?? 0)) return undefined;
          this.windows.set(id, window);
          return fromHistory(h);
        },
      );
      return;
    }
    // A window that has been replaced meanwhile gets no page of the one before.
    const [first, last] = [firstSeq(t), lastSeq(t)];
    const window = this.windows.get(id);
    const shown = () => (this.windows.get(id) === window ? this.state.timelines[id] : undefined);
    if (kind === 2 && t.hasBefore)
      ask(first - historySize, (h) => {
        const now = shown();
        return now && prepend(now, first, { ...h, items: h.items.filter((m) => m.seq < first) });
      });
    if (kind === 3 && t.hasAfter)
      ask(last + 1, (h) => {
        const now = shown();
        return now && append(now, last, h);
      });
  }

  // Time

  private after(ms: number, run: () => void) {
    this.events.add(this.now + ms, run);
  }

  /** Does something unless the connection has ended by then. */
  private onConnection(at: number, run: () => void) {
    const { connection } = this;
    if (connection) this.events.add(at, () => (this.connection === connection ? run() : undefined));
  }

  private afterOnConnection(ms: number, run: () => void) {
    this.onConnection(this.now + ms, run);
  }
}

describe("a page is whole five seconds after the faults", () => {
  for (let shard = 0; shard < shards; shard++)
    it(`schedules ${shard}, ${shard + shards}, ${shard + 2 * shards} …`, { timeout: 120_000 }, () => {
      for (let seed = shard; seed < schedules; seed += shards) {
        try {
          new Simulation(seed).run();
        } catch (e) {
          throw new Error(`schedule ${seed}: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
        }
      }
    });
});
