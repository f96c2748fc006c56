import type { RestClient } from "../net/rest";
import type { History, Message, User } from "../protocol/types";
import { catchUp, emptyChangeLog, record, type ChangeLog } from "../sync/changelog";
import {
  CopyDatabase,
  type CopiedConversation,
  type CopyChanges,
  type CopiedList,
} from "../sync/copydatabase";
import { SenderLock, type Locks } from "../sync/senderlock";
import type { Applied } from "../sync/syncstate";
import type { Timeline } from "../sync/timeline";
import { Timers } from "../sync/timers";
import { byActivity, type AppState, type AppStore } from "./app";
import { answered } from "../sync/answered";
import { whenIdle } from "./idle";

/** How many messages of a conversation are kept, and how many conversations: those with
 * the latest activity. */
export const copiedMessages = 50;
export const maxConversations = 300;
/** How much the messages may take in all, in bytes as they are estimated here; a text has
 * 16 KiB at most. */
const maxBytes = 32 << 20;
/** How long changes are collected before they are written, in milliseconds. */
const writeDelay = 2000;
/** How many conversations are written at once: more would hold up the page. */
const batchSize = 25;
/** How many conversations are asked for again after the page was away, and how long a page
 * waits before each. */
const maxRefreshed = 50;
const refreshDelay = 500;

/** How long the database may take for a task, in milliseconds. */
const requestTimeout = 10_000;

/** What of a conversation was written. */
type Written = CopiedConversation & { timeline?: Timeline };
/** The parts of it: those of the list, and all. */
const listParts = ["summary", "marks", "readHere"] as const;
const allParts = [...listParts, "timeline"] as const;

/** Reports whether two values have the same content. Those that have their properties in
 * another order do not, and are written once more. */
const isEqual = (a: unknown, b: unknown) => a === b || JSON.stringify(a) === JSON.stringify(b);

export type OfflineCopyOptions = {
  account: string;
  store: AppStore;
  rest: RestClient;
  /** Of the browser; one tab of the account writes. */
  locks: Locks;
  /** Has the names of people loaded that are not known. */
  onNeeded: (users: string[]) => void;
  isVisible: () => boolean;
  /** The copy is closed, and is to be deleted. */
  onFailed: () => void;
};

/** OfflineCopy keeps what a person can read without the server: the list of conversations,
 * and the latest messages of each that the page had. It follows the page's state, some
 * seconds behind, when there is nothing else to do.
 *
 * Messages are kept for as long as they are known to be as the server has them. A change
 * that the page saw is applied to them; of those that it did not see, such as while no page
 * was open, nobody says whether they were deletions: then the messages are deleted, and
 * asked for again later. A copy that fails is closed, and the page goes on without. */
export class OfflineCopy {
  private database: Promise<CopyDatabase> | undefined;
  private readonly lock: SenderLock;
  private readonly timers = new Timers();
  private isStopped = false;
  private isScheduled = false;
  private isWriting = false;
  private readonly unsubscribe: () => void;
  /** The history that the page's state is of, "" while it is not known. */
  private epoch = "";
  /** That of the copy. */
  private copiedEpoch: string | undefined;
  /** By conversation, of which rev its messages are, and their size. */
  private readonly sizes = new Map<string, { rev: number; bytes: number }>();
  /** By conversation, what is written; null when it is to be looked at again. */
  private readonly written = new Map<string, Written | null>();
  private readonly writtenUsers = new Map<string, User>();
  /** The people whose names the copy needs. */
  private readonly neededUsers = new Set<string>();
  /** By conversation, the changes that its messages lack. */
  private readonly logs = new Map<string, ChangeLog>();
  /** Conversations whose messages were deleted because of what is not known of them. */
  private readonly stale = new Set<string>();

  constructor(private readonly options: OfflineCopyOptions) {
    this.lock = new SenderLock("hikyaku-copy-" + options.account, options.locks);
    this.lock.onChange = (isHeld) => {
      this.copiedEpoch = undefined;
      if (isHeld) this.schedule();
    };
    this.unsubscribe = options.store.subscribe((s, before) => {
      const parts = ["conversations", "timelines", "marks", "localReadMarks", "ready"] as const;
      if (parts.some((p) => s[p] !== before[p])) this.schedule();
      else if (s.users !== before.users && this.neededUsers.size > 0) this.schedule();
    });
  }

  /** Begins to write, as soon as no other tab does. */
  start() {
    this.lock.request();
  }

  stop() {
    this.isStopped = true;
    this.unsubscribe();
    this.timers.clear();
    this.lock.release();
    void this.database?.then((db) => db.close()).catch(() => {});
  }

  /** The person looks at this tab: another one that writes may be frozen. */
  attended() {
    if (!this.isStopped) this.lock.take();
  }

  /** The person looks elsewhere: perhaps the page is not asked again. */
  leave(): Promise<void> {
    return this.write();
  }

  /** Reads what there is to show; null where that is nothing. */
  async load(): Promise<CopiedList | null> {
    const list = await this.try((db) => db.list());
    if (!list?.epoch || list.conversations.length === 0) return null;
    this.epoch ||= list.epoch;
    return list;
  }

  /** Returns the latest messages of a conversation, unless they may not be as the list of
   * conversations knows them. */
  async timeline(id: string): Promise<Timeline | undefined> {
    const kept = await this.try((db) => db.messages(id));
    // After a backup was restored on the server, numbers mean other messages.
    if ((await this.try((db) => db.epoch())) !== this.epoch) return undefined;
    const c = this.options.store.getState().conversations[id];
    if (!kept || !c || kept.rev < c.rev) return undefined;
    return { messages: kept.messages, hasBefore: kept.hasBefore, hasAfter: false, rev: kept.rev };
  }

  /** A connection is open, in an epoch of the server. */
  connected(epoch: string) {
    if (this.epoch !== epoch) {
      this.written.clear();
      this.logs.clear();
    }
    this.epoch = epoch;
    this.schedule();
  }

  /** Takes what the page's state is changed by. */
  applied(all: Applied[]) {
    for (const a of all) {
      if (a.t !== "pushed") continue;
      const { frame } = a;
      if (frame.t === "conversation") this.note(frame.conversation.id, frame.conversation.rev);
      else this.note(frame.conversation, frame.rev, frame);
    }
  }

  private note(id: string, rev: number, m?: Message) {
    if (this.sizes.has(id) || this.logs.has(id)) this.logs.set(id, record(this.logs.get(id), rev, m));
  }

  private schedule(delay = writeDelay) {
    if (this.isScheduled || this.isStopped) return;
    this.isScheduled = true;
    this.timers.after(delay, () =>
      whenIdle(() => {
        this.isScheduled = false;
        void this.write();
      }, writeDelay),
    );
  }

  /** Writes the next changes. */
  private async write() {
    const s = this.options.store.getState();
    if (this.isStopped || this.isWriting || !this.lock.isHeld || !this.epoch) return;
    this.isWriting = true;
    const hasMore = await this.try((db) => this.writeTo(db, s));
    this.isWriting = false;
    if (hasMore) this.schedule(0);
    else if (s !== this.options.store.getState()) this.schedule();
    if (hasMore === false && s.ready) this.refreshLater();
  }

  /** Reports whether there is more to write. */
  private async writeTo(db: CopyDatabase, s: AppState): Promise<boolean> {
    if (this.copiedEpoch === undefined) await this.readIndex(db);
    if (this.copiedEpoch !== this.epoch) {
      await db.begin(this.epoch);
      this.copiedEpoch = this.epoch;
      this.forgetAll();
    }
    const latest = byActivity(s.conversations).slice(0, maxConversations);
    const kept = new Set(latest.map((c) => c.id));
    const changes: CopyChanges = {
      conversations: [],
      users: [],
      messages: [],
      withoutMessages: [],
      gone: [],
    };
    // What an incomplete list does not name may be on its next page.
    if (s.ready) changes.gone = [...this.written.keys()].filter((id) => !kept.has(id));

    const changed: [id: string, w: Written][] = [];
    let hasMore = false;
    for (const summary of latest) {
      const { id } = summary;
      const now = { summary, marks: s.marks[id], readHere: s.localReadMarks[id], timeline: s.timelines[id] };
      const before = this.written.get(id);
      if (before && allParts.every((p) => before[p] === now[p])) continue;
      if (changed.length === batchSize) {
        hasMore = true;
        break;
      }
      if (summary.last) this.neededUsers.add(summary.last.sender);
      if (summary.peer) this.neededUsers.add(summary.peer.id);
      const isSame = before && listParts.every((p) => isEqual(before[p], now[p]));
      // An earlier page has written it.
      if (isSame && before.timeline === now.timeline) this.written.set(id, now);
      else changed.push([id, now]);
      if (!isSame) changes.conversations.push({ summary, marks: now.marks, readHere: now.readHere });
    }
    const caughtUp = new Map<string, ChangeLog>();
    for (const [id, { summary, timeline }] of changed) {
      const size = this.sizes.get(id);
      if (timeline && !timeline.hasAfter && timeline.messages.length > 0) {
        if (timeline !== this.written.get(id)?.timeline) this.keep(changes, id, timeline);
      } else if (size && size.rev < summary.rev) {
        const log = this.logs.get(id);
        const next = log && (await this.catchUpWith(db, id, log));
        if (next && next.rev >= summary.rev) this.keep(changes, id, next);
        else {
          changes.withoutMessages.push(id);
          this.stale.add(id);
        }
        if (log) caughtUp.set(id, log);
      }
    }
    this.makeRoom(changes, s);
    const unknown: string[] = [];
    for (const id of this.neededUsers) {
      const user = s.users[id];
      if (!user) unknown.push(id);
      else if (!isEqual(this.writtenUsers.get(id), user)) changes.users.push(user);
    }

    if (Object.values(changes).some((c) => c.length > 0)) await db.write(changes);
    for (const m of changes.messages) this.sizes.set(m.id, { rev: m.rev, bytes: m.bytes });
    for (const id of [...changes.withoutMessages, ...changes.gone]) this.sizes.delete(id);
    for (const id of changes.gone) {
      this.written.delete(id);
      this.stale.delete(id);
    }
    for (const [id, w] of changed) this.written.set(id, w);
    for (const u of changes.users) this.writtenUsers.set(u.id, u);
    for (const [id, log] of caughtUp) if (this.logs.get(id) === log) this.logs.delete(id);
    for (const id of this.logs.keys()) if (!kept.has(id)) this.logs.delete(id);
    if (unknown.length > 0) this.options.onNeeded(unknown);
    return hasMore;
  }

  /** Has the latest messages of a timeline written. */
  private keep(changes: CopyChanges, id: string, t: Timeline) {
    const messages = t.messages.slice(-copiedMessages);
    for (const m of messages) this.neededUsers.add(m.sender);
    const hasBefore = t.hasBefore || messages.length < t.messages.length;
    const bytes = messages.reduce((n, m) => n + 2 * m.body.length + 300, 0);
    changes.messages.push({ id, rev: t.rev, hasBefore, messages, bytes });
    this.stale.delete(id);
  }

  /** Returns the kept messages of a conversation with what has changed since. */
  private async catchUpWith(db: CopyDatabase, id: string, log: ChangeLog): Promise<Timeline | undefined> {
    const kept = await db.messages(id);
    const next = kept && catchUp({ ...kept, hasAfter: false }, log);
    return next && !next.hasAfter ? next : undefined;
  }

  /** Gives up the messages of conversations without activity while there are too many. */
  private makeRoom(changes: CopyChanges, s: AppState) {
    const sizes = new Map(this.sizes);
    for (const m of changes.messages) sizes.set(m.id, m);
    for (const id of [...changes.withoutMessages, ...changes.gone]) sizes.delete(id);
    let bytes = [...sizes.values()].reduce((n, m) => n + m.bytes, 0);
    if (bytes <= maxBytes) return;
    for (const { id } of byActivity(s.conversations).reverse()) {
      const size = sizes.get(id);
      if (!size) continue;
      changes.messages = changes.messages.filter((m) => m.id !== id);
      changes.withoutMessages.push(id);
      bytes -= size.bytes;
      if (bytes <= maxBytes) return;
    }
  }

  private async readIndex(db: CopyDatabase) {
    const { epoch, conversations, users, sizes } = await db.list();
    this.forgetAll();
    this.copiedEpoch = epoch;
    for (const c of conversations) this.written.set(c.summary.id, c);
    for (const u of users) this.writtenUsers.set(u.id, u);
    for (const { id, rev, bytes } of sizes) this.sizes.set(id, { rev, bytes });
  }

  private forgetAll() {
    this.sizes.clear();
    this.written.clear();
    this.writtenUsers.clear();
    this.stale.clear();
  }

  /** Asks for the messages that were deleted as stale, one conversation after the other:
   * the latest activity first, and of no more than are likely to be read. */
  private refreshLater() {
    const order = byActivity(this.options.store.getState().conversations).filter((c) => this.stale.has(c.id));
    for (const c of order.slice(maxRefreshed)) this.stale.delete(c.id);
    const next = order[0];
    if (next) this.timers.after(refreshDelay, () => whenIdle(() => void this.refresh(next.id), writeDelay));
  }

  private async refresh(id: string) {
    const { store, rest, isVisible } = this.options;
    const before = store.getState();
    const c = before.conversations[id];
    if (!this.stale.has(id) || !c || !this.lock.isHeld || before.connection !== "open" || !isVisible())
      return;
    this.stale.delete(id);
    // What changes from here on is applied over the answer.
    const log = emptyChangeLog(c.rev);
    this.logs.set(id, log);
    const path = `/conversations/${id}/messages?limit=${copiedMessages}`;
    const h = await rest.get<History>(path).catch(() => undefined);
    const wasRemoved = store.getState().removals[id] !== before.removals[id];
    if (!h || wasRemoved || this.epoch !== this.copiedEpoch) return;
    const changes: CopyChanges = {
      conversations: [],
      users: [],
      messages: [],
      withoutMessages: [],
      gone: [],
    };
    this.keep(changes, id, { messages: h.items, hasBefore: h.has_before, hasAfter: false, rev: h.rev });
    await this.try(async (db) => {
      await db.write(changes);
      for (const m of changes.messages) this.sizes.set(id, { rev: m.rev, bytes: m.bytes });
      this.written.set(id, null); // to be looked at again: it may have changed meanwhile
    });
    this.schedule();
  }

  /** Does something with the database. When it fails, the copy is closed. */
  private async try<T>(f: (db: CopyDatabase) => Promise<T>): Promise<T | undefined> {
    if (this.isStopped) return undefined;
    const database = (this.database ??= CopyDatabase.open(this.options.account));
    try {
      return await answered(database.then(f), requestTimeout);
    } catch (e) {
      if (!this.isStopped) {
        console.warn("nothing is kept to be read offline until the page is loaded again", e);
        this.stop();
        // It would not follow what is deleted any more.
        this.options.onFailed();
      }
      return undefined;
    }
  }
}
