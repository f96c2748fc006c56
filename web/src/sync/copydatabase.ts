// What a device keeps of an account's conversations, to be read without the server: the
// database of each account, and notes that say whose there is.
import { deleteDB, openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Message, Summary, User } from "../protocol/types";
import { deleteNote, getNote, noteKeys, setNote } from "./notes";
import type { Marks } from "./store";

/** A conversation of the list, as it was known last. */
export type CopiedConversation = {
  summary: Summary;
  marks?: Marks;
  /** Up to where the person has read on this device. */
  readHere?: number;
};

/** The latest messages of a conversation, without a gap, as they were at a rev. */
export type CopiedMessages = { id: string; rev: number; hasBefore: boolean; messages: Message[] };

/** Of which rev the messages of a conversation are, and how large they are. */
export type CopySize = { id: string; rev: number; bytes: number };

/** What is written at once: a copy is never of two minds. */
export type CopyChanges = {
  conversations: CopiedConversation[];
  users: User[];
  messages: (CopiedMessages & { bytes: number })[];
  /** Conversations whose messages are deleted, and those of which nothing is left. */
  withoutMessages: string[];
  gone: string[];
};

/** What there is of a copy beside the messages. The epoch is "" while there is nothing. */
export type CopiedList = {
  epoch: string;
  conversations: CopiedConversation[];
  users: User[];
  sizes: CopySize[];
};

interface Schema extends DBSchema {
  conversations: { key: string; value: CopiedConversation };
  users: { key: string; value: User };
  messages: { key: string; value: CopiedMessages };
  /** Beside the messages, since those are too large to be read for it. */
  sizes: { key: string; value: CopySize };
  /** The history that all of this is of. */
  epoch: { key: "epoch"; value: string };
}
const stores = ["conversations", "users", "messages", "sizes", "epoch"] as const;

/** Under this, with an account, is the note that there may be a copy: for whom, or "" when
 * it is given up. */
const notePrefix = "hikyaku-copy-";
const databaseOf = (user: string) => "hikyaku-copy-" + user;

/** CopyOwner is whose copy it is: an account, and the session that it was made in. */
export type CopyOwner = { user: User; session: string };

/** Notes whose copy the device has from now on. */
export function noteCopy(owner: CopyOwner) {
  setNote(notePrefix + owner.user.id, JSON.stringify(owner));
}

/** Returns whose copy there is, null where that is nobody's, or not certain. */
export function copyOwner(): CopyOwner | null {
  const notes = noteKeys(notePrefix).map(getNote).filter(Boolean);
  try {
    return notes.length === 1 ? (JSON.parse(notes[0]!) as CopyOwner) : null;
  } catch {
    return null;
  }
}

/** Gives up the copies of all accounts but one: from the call on nobody is shown them.
 * The promise is that of their deletion, which is tried again at the next call. */
export async function discardCopies(except?: string) {
  const users = noteKeys(notePrefix).map((key) => key.slice(notePrefix.length));
  await Promise.all(
    users.map(async (user) => {
      if (user !== except || !getNote(notePrefix + user)) await discardCopy(user);
    }),
  );
}

/** Deletes what the device has kept of an account. */
export async function discardCopy(user: string) {
  const key = notePrefix + user;
  setNote(key, "");
  await deleteDB(databaseOf(user));
  // Unless the account has logged in meanwhile.
  if (getNote(key) === "") deleteNote(key);
}

/** CopyDatabase is the copy of an account. Its methods throw when the browser fails or has
 * closed it, as it does when the copy is given up. */
export class CopyDatabase {
  private constructor(private readonly db: IDBPDatabase<Schema>) {}

  static async open(user: string): Promise<CopyDatabase> {
    const db = await openDB<Schema>(databaseOf(user), 1, {
      upgrade(d) {
        d.createObjectStore("conversations", { keyPath: "summary.id" });
        d.createObjectStore("users", { keyPath: "id" });
        d.createObjectStore("messages", { keyPath: "id" });
        d.createObjectStore("sizes", { keyPath: "id" });
        d.createObjectStore("epoch");
      },
      // Somebody deletes it: a page that held on to it would bring back what is given up.
      blocking: () => db.close(),
    });
    return new CopyDatabase(db);
  }

  close() {
    this.db.close();
  }

  messages(conversation: string): Promise<CopiedMessages | undefined> {
    return this.db.get("messages", conversation);
  }

  /** Returns the epoch of what is kept, "" for nothing. */
  async epoch(): Promise<string> {
    return (await this.db.get("epoch", "epoch")) ?? "";
  }

  /** Returns everything but the messages. */
  async list(): Promise<CopiedList> {
    const tx = this.db.transaction(["conversations", "users", "sizes", "epoch"]);
    const [epoch = "", conversations, users, sizes] = await Promise.all([
      tx.objectStore("epoch").get("epoch"),
      tx.objectStore("conversations").getAll(),
      tx.objectStore("users").getAll(),
      tx.objectStore("sizes").getAll(),
    ]);
    return { epoch, conversations, users, sizes };
  }

  /** Writes all changes or, when it throws, none. */
  async write(changes: CopyChanges) {
    const tx = this.db.transaction(stores, "readwrite", { durability: "relaxed" });
    const [conversations, users, messages, sizes] = stores.map((s) => tx.objectStore(s));
    // The transaction fails with any of them, and tells it.
    const all: Promise<unknown>[] = [];
    for (const c of changes.conversations) all.push(conversations!.put(c));
    for (const u of changes.users) all.push(users!.put(u));
    for (const { bytes, ...m } of changes.messages)
      all.push(messages!.put(m), sizes!.put({ id: m.id, rev: m.rev, bytes }));
    for (const id of [...changes.withoutMessages, ...changes.gone])
      all.push(messages!.delete(id), sizes!.delete(id));
    for (const id of changes.gone) all.push(conversations!.delete(id));
    tx.commit();
    await Promise.all([...all, tx.done]);
  }

  /** Deletes everything, and begins a copy of an epoch. */
  async begin(epoch: string) {
    const tx = this.db.transaction(stores, "readwrite");
    const all: Promise<unknown>[] = stores.map((s) => tx.objectStore(s).clear());
    all.push(tx.objectStore("epoch").put(epoch, "epoch"));
    tx.commit();
    await Promise.all([...all, tx.done]);
  }
}
