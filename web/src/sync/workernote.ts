// What pages tell the service worker, which reads neither their notes nor their words.
import { openDB, type DBSchema, type IDBPDatabase } from "idb";

/** WorkerNote says whose notifications this browser shows, and with which words. */
export type WorkerNote = {
  account: string;
  words: { reply: string; notSent: string; notKept: string };
};

interface Schema extends DBSchema {
  notes: { key: "notifications"; value: WorkerNote };
}

async function withDatabase<T>(f: (db: IDBPDatabase<Schema>) => Promise<T>): Promise<T> {
  const db = await openDB<Schema>("hikyaku-worker", 1, {
    upgrade: (d) => void d.createObjectStore("notes"),
  });
  try {
    return await f(db);
  } finally {
    db.close();
  }
}

export function getWorkerNote(): Promise<WorkerNote | undefined> {
  return withDatabase((db) => db.get("notes", "notifications"));
}

/** Without a note the worker acts for nobody. */
export async function setWorkerNote(note: WorkerNote | null) {
  await withDatabase(async (db) => {
    if (note) await db.put("notes", note, "notifications");
    else await db.delete("notes", "notifications");
  });
}
