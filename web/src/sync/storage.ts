import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Draft, DraftTable } from "./drafts";
import { deleteNote, getNote, noteKeys, setNote } from "./notes";

export type StoredMessage = {
  id: string;
  order: number;
  conversation: string;
  body: string;
  replyTo: number;
  at: number;
  failed?: string;
  /** How often the person has sent it again under its id. */
  retries?: number;
};

interface Schema extends DBSchema {
  outbox: { key: string; value: StoredMessage };
  /** Earlier releases kept the text alone. */
  drafts: { key: string; value: Draft | string };
}

/** Under this, with an account, is the note that what its database has was given up. */
const discarded = "hikyaku-discarded-";

/** How long opening the database may take. A browser can leave it unanswered,
 * while another page holds the database or because of a defect. */
const openTimeout = 5000;

/** Opens the database of an account; each has its own, so that two users can share a browser.
 * What was given up is deleted before anybody sees it: without that it does not open. */
export async function openStorage(user: string): Promise<Storage> {
  const opening = openCleared(user);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // Nobody uses a database that opens after this, and it must not block others.
      opening.then((storage) => storage.close()).catch(() => {});
      reject(new Error("opening the database timed out"));
    }, openTimeout);
  });
  try {
    return await Promise.race([opening, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

async function openCleared(user: string): Promise<Storage> {
  const db = await openDB<Schema>("hikyaku-" + user, 1, {
    upgrade(d) {
      d.createObjectStore("outbox", { keyPath: "id" });
      d.createObjectStore("drafts");
    },
    terminated: () => storage.onTerminated(),
  });
  const storage = new Storage(db);
  const key = discarded + user;
  try {
    for (let note = getNote(key); note !== null; note = getNote(key)) {
      // What another tab writes once it has taken the note away comes after this.
      await storage.clear();
      // Unless the account has logged in, written and been logged out meanwhile.
      if (getNote(key) === note) deleteNote(key);
    }
  } catch (e) {
    storage.close();
    throw e;
  }
  return storage;
}

/** Gives up what the device has stored for an account: from the call on no page loads it
 * any more, not even after a reload. The promise is that of its deletion, which is tried
 * again whenever the database is opened. */
export async function discardStorage(user: string) {
  setNote(discarded + user, String(Date.now()));
  (await openStorage(user)).close();
}

/** Deletes what was given up and is still there. */
export async function deleteDiscarded() {
  const users = noteKeys(discarded).map((key) => key.slice(discarded.length));
  await Promise.all(users.map(async (user) => (await openStorage(user)).close()));
}

/** Storage holds what must survive a reload: messages that the server has not
 * stored yet, and drafts. */
export class Storage {
  /** Called when the browser has closed the database, as it does before it deletes it. */
  onTerminated = () => {};

  constructor(private readonly db: IDBPDatabase<Schema>) {}

  async outbox(): Promise<StoredMessage[]> {
    const all = await this.db.getAll("outbox");
    return all.sort((a, b) => a.order - b.order);
  }
  /** Keeps a message, and deletes the draft that it was in the same transaction: a page
   * that closes in between would leave the text twice. */
  async save(m: StoredMessage, wasDraft = false) {
    const tx = this.db.transaction(wasDraft ? ["outbox", "drafts"] : ["outbox"], "readwrite");
    const changes: Promise<unknown>[] = [tx.objectStore("outbox").put(m), tx.done];
    if (wasDraft) changes.push(tx.objectStore("drafts").delete(m.conversation));
    // At once, since a transaction that waits for its page is given up when that closes.
    tx.commit();
    await Promise.all(changes);
  }
  async delete(id: string) {
    await this.db.delete("outbox", id);
  }
  async drafts(): Promise<DraftTable> {
    const drafts: DraftTable = {};
    const tx = this.db.transaction("drafts");
    for (let c = await tx.store.openCursor(); c; c = await c.continue())
      drafts[c.key] = typeof c.value === "string" ? { text: c.value } : c.value;
    return drafts;
  }
  async saveDraft(conversation: string, draft: Draft | undefined) {
    if (draft) await this.db.put("drafts", draft, conversation);
    else await this.db.delete("drafts", conversation);
  }
  /** Deletes all or, when it throws, nothing. */
  async clear() {
    const tx = this.db.transaction(["outbox", "drafts"], "readwrite");
    await Promise.all([tx.objectStore("outbox").clear(), tx.objectStore("drafts").clear(), tx.done]);
  }
  close() {
    this.db.close();
  }
}
