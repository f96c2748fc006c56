import { openDB, type DBSchema, type IDBPDatabase } from "idb";

export type StoredMessage = {
  id: string;
  order: number;
  conversation: string;
  body: string;
  replyTo: number;
  at: number;
  failed?: string;
};

interface Schema extends DBSchema {
  outbox: { key: string; value: StoredMessage };
  drafts: { key: string; value: string };
}

/** How long opening the database may take. A browser can leave it unanswered,
 * while another page holds the database or because of a defect. */
const openTimeout = 5000;

/** Opens the database of an account; each has its own, so that two users can share a browser. */
export async function openStorage(user: string): Promise<Storage> {
  const opening = openDB<Schema>("hikyaku-" + user, 1, {
    upgrade(d) {
      d.createObjectStore("outbox", { keyPath: "id" });
      d.createObjectStore("drafts");
    },
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // Nobody uses a database that opens after this, and it must not block others.
      opening.then((db) => db.close()).catch(() => {});
      reject(new Error("opening the database timed out"));
    }, openTimeout);
  });
  try {
    return new Storage(await Promise.race([opening, timeout]));
  } finally {
    clearTimeout(timer);
  }
}

/** Storage holds what must survive a reload: messages that the server has not
 * stored yet, and drafts. */
export class Storage {
  constructor(private readonly db: IDBPDatabase<Schema>) {}

  async outbox(): Promise<StoredMessage[]> {
    const all = await this.db.getAll("outbox");
    return all.sort((a, b) => a.order - b.order);
  }
  async save(m: StoredMessage) {
    await this.db.put("outbox", m);
  }
  async delete(id: string) {
    await this.db.delete("outbox", id);
  }
  async draft(conversation: string): Promise<string> {
    return (await this.db.get("drafts", conversation)) ?? "";
  }
  async saveDraft(conversation: string, text: string) {
    if (text) await this.db.put("drafts", text, conversation);
    else await this.db.delete("drafts", conversation);
  }
  async clear() {
    await Promise.all([this.db.clear("outbox"), this.db.clear("drafts")]);
  }
  close() {
    this.db.close();
  }
}
