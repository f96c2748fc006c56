import type { Draft, DraftTable } from "./drafts";
import type { Storage, StoredMessage } from "./storage";
import { Timers } from "./timers";
import { answered } from "./answered";

/** How long a database that has failed rests before it is opened again; the time
 * doubles with each attempt. */
const firstDelay = 2000;
const maxDelay = 60_000;

/** How long reading or writing may take, in milliseconds. */
const requestTimeout = 5000;

/** Writes what is not known to be in the database. */
type Write = (s: Storage) => Promise<void>;

/** DeviceStorage keeps unsent messages and drafts in a database that may be
 * missing or fail at any time. Until it works again, what would be saved is kept
 * in memory and is lost when the page closes; onChange tells when that begins and
 * ends. Writing never fails. */
export class DeviceStorage {
  private storage: Storage | null = null;
  /** By what they write, the last write of each that is not done. */
  private readonly pending = new Map<string, Write>();
  private readonly timers = new Timers();
  private delay = firstDelay;
  private isClosed = false;

  constructor(
    private readonly openStorage: () => Promise<Storage>,
    private readonly onChange: (isOpen: boolean) => void,
  ) {}

  get isOpen() {
    return this.storage !== null;
  }

  /** Opens the database, and writes what has waited for it. */
  async open() {
    let storage: Storage;
    try {
      storage = await this.openStorage();
    } catch (e) {
      if (!this.isClosed) this.openLater("the database cannot be opened: nothing survives a reload", e);
      return;
    }
    if (this.isClosed) {
      storage.close();
      return;
    }
    this.storage = storage;
    storage.onTerminated = () => this.failed(storage, new Error("the browser has closed it"));
    for (const [key, write] of [...this.pending]) {
      // Unless something later has been written meanwhile.
      if (this.pending.get(key) === write) await this.apply(storage, key, write);
      if (this.storage !== storage) return;
    }
    this.delay = firstDelay;
    this.onChange(true);
  }

  close() {
    this.isClosed = true;
    this.timers.clear();
    this.storage?.close();
  }

  /** Returns the messages in the database: none while it is not open. */
  async outbox(): Promise<StoredMessage[]> {
    return this.storage ? this.read((s) => s.outbox()) : [];
  }
  save(m: StoredMessage, wasDraft = false) {
    let first = true; // when it is tried again, a later draft may have been written
    const apply = (s: Storage) => {
      const endsDraft = wasDraft && first;
      first = false;
      return s.save(m, endsDraft);
    };
    return this.write("message " + m.id, apply);
  }
  delete(id: string) {
    return this.write("message " + id, (s) => s.delete(id));
  }
  /** Returns the drafts in the database: none while it is not open. */
  async drafts(): Promise<DraftTable> {
    return this.storage ? this.read((s) => s.drafts()) : {};
  }
  saveDraft(conversation: string, draft: Draft | undefined) {
    return this.write("draft " + conversation, (s) => s.saveDraft(conversation, draft));
  }

  private async read<T>(f: (s: Storage) => Promise<T>): Promise<T> {
    const storage = this.storage;
    if (!storage) throw new Error("the database is not open");
    try {
      return await answered(f(storage), requestTimeout);
    } catch (e) {
      this.failed(storage, e);
      throw e;
    }
  }

  private async write(key: string, write: Write) {
    this.pending.delete(key);
    this.pending.set(key, write); // the last one: what has waited is written in its order
    if (this.storage) await this.apply(this.storage, key, write);
  }

  private async apply(storage: Storage, key: string, write: Write) {
    try {
      await answered(write(storage), requestTimeout);
    } catch (e) {
      this.failed(storage, e);
      return;
    }
    if (this.pending.get(key) === write) this.pending.delete(key);
  }

  private failed(storage: Storage, e: unknown) {
    if (this.storage !== storage || this.isClosed) return;
    this.storage = null;
    storage.close();
    this.openLater("the database has failed: nothing survives a reload until it works again", e);
    this.onChange(false);
  }

  private openLater(reason: string, e: unknown) {
    console.warn(reason, e);
    this.timers.after(this.delay, () => void this.open());
    this.delay = Math.min(2 * this.delay, maxDelay);
  }
}
