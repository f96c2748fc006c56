import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeviceStorage } from "./devicestorage";
import { MemoryStorage } from "./memorystorage";
import type { Storage, StoredMessage } from "./storage";

const message = (id: string, over: Partial<StoredMessage> = {}): StoredMessage => ({
  ...{ id, order: 1, conversation: "c", body: "text", replyTo: 0, at: 0 },
  ...over,
});

/** A database that fails while broken is set. */
function setup() {
  const database = new MemoryStorage();
  const device = { broken: false, hangs: false, opened: 0 };
  const openStorage = async () => {
    device.opened++;
    if (device.broken) throw new Error("broken");
    const guarded = new Proxy(database, {
      get(target, name: keyof MemoryStorage) {
        const member = target[name];
        if (typeof member !== "function" || name === "close") return member;
        return async (...args: never[]) => {
          if (device.broken) throw new Error("broken");
          if (device.hangs) return new Promise(() => {});
          return (member as (...a: never[]) => unknown).apply(target, args);
        };
      },
    });
    return guarded as unknown as Storage;
  };
  const changes: boolean[] = [];
  const storage = new DeviceStorage(openStorage, (isOpen) => changes.push(isOpen));
  return { database, device, storage, changes };
}

describe("DeviceStorage", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(console, "warn").mockImplementation(() => {});
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it("writes what has waited in its order", async () => {
    const { database, device, storage } = setup();
    await storage.open();
    device.broken = true;
    await storage.saveDraft("c", { text: "one" });
    await storage.save(message("m"), true);
    await storage.saveDraft("c", { text: "two" });
    device.broken = false;
    await vi.advanceTimersByTimeAsync(4000);
    expect([...database.messages.keys()]).toEqual(["m"]);
    expect(database.stored.get("c")).toEqual({ text: "two" });
  });

  it("ends no later draft when a message is saved again", async () => {
    const { database, storage } = setup();
    await storage.open();
    vi.spyOn(database, "save").mockRejectedValueOnce(new Error("no room"));
    await Promise.all([storage.save(message("m"), true), storage.saveDraft("c", { text: "two" })]);
    await vi.advanceTimersByTimeAsync(4000);
    expect([...database.messages.keys()]).toEqual(["m"]);
    expect(database.stored.get("c")).toEqual({ text: "two" });
  });

  it("opens a database again that the browser has closed", async () => {
    const { database, device, storage, changes } = setup();
    await storage.open();
    (database as unknown as Storage).onTerminated();
    expect(changes).toEqual([true, false]);
    expect(storage.isOpen).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    expect(changes).toEqual([true, false, true]);
    expect(device.opened).toBe(2);
  });

  it("says that nothing is saved, and saves it once the database works again", async () => {
    const { database, device, storage, changes } = setup();
    await storage.open();
    await storage.save(message("stored"));
    device.broken = true;
    await storage.save(message("new"));
    await storage.delete("stored");
    await storage.saveDraft("c", { text: "first" });
    await storage.saveDraft("c", { text: "second" });
    expect(changes).toEqual([true, false]);
    expect(storage.isOpen).toBe(false);
    await vi.advanceTimersByTimeAsync(2000); // fails once more
    expect(changes).toEqual([true, false]);
    device.broken = false;
    await vi.advanceTimersByTimeAsync(4000);
    expect(changes).toEqual([true, false, true]);
    expect([...database.messages.keys()]).toEqual(["new"]);
    expect(database.stored.get("c")).toEqual({ text: "second" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not wait for a database that does not answer", async () => {
    const { database, device, storage, changes } = setup();
    await storage.open();
    device.hangs = true;
    let saved = false;
    void storage.save(message("m")).then(() => (saved = true));
    await vi.advanceTimersByTimeAsync(4999);
    expect(saved).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(saved).toBe(true);
    expect(changes).toEqual([true, false]);
    device.hangs = false;
    await vi.advanceTimersByTimeAsync(2000);
    expect(changes).toEqual([true, false, true]);
    expect([...database.messages.keys()]).toEqual(["m"]);
  });

  it("opens later what could not be opened at first, less and less often", async () => {
    const { device, storage, changes } = setup();
    device.broken = true;
    await storage.open();
    expect(storage.isOpen).toBe(false);
    expect([await storage.outbox(), await storage.drafts()]).toEqual([[], {}]);
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    expect(device.opened).toBeLessThan(20);
    device.broken = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(changes).toEqual([true]);
  });

  it("writes what was written last", async () => {
    const { database, device, storage } = setup();
    device.broken = true;
    await storage.open();
    await storage.save(message("m"));
    device.broken = false;
    const saved = storage.open();
    await storage.save(message("m", { failed: "not_found" }));
    await saved;
    expect(database.messages.get("m")).toMatchObject({ failed: "not_found" });
  });

  it("opens nothing once it is closed", async () => {
    const { device, storage, changes } = setup();
    await storage.open();
    device.broken = true;
    await storage.save(message("m"));
    storage.close();
    device.broken = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(device.opened).toBe(1);
    expect(changes).toEqual([true, false]);
  });
});
