import { deleteDB, openDB } from "idb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Client } from "./client";
import { openStorage } from "../sync/storage";
import { setup, unauthenticated } from "./fakeserver";

const user = { id: "1", name: "aki", display_name: "Aki" };

/** Those of the test, which would be other tabs of the next one. */
const opened: Client[] = [];

function open() {
  const fixture = setup();
  fixture.server.on("GET /installation", () => ({ registration: "open" }));
  fixture.server.on("POST /login", () => ({ user }));
  fixture.server.on("POST /register", () => ({ user }));
  fixture.server.on("POST /logout", () => ({}));
  const client = new Client(fixture.store, fixture.server.dial);
  opened.push(client);
  return { ...fixture, client };
}

describe("Client", () => {
  // The database in memory needs the other timers.
  beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => {
    for (const client of opened.splice(0)) client.session?.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it("resumes the session of an earlier visit", async () => {
    const { client, server, store } = open();
    server.on("GET /me", () => ({ user }));
    await client.start();
    expect(store.getState()).toMatchObject({ me: user, connection: "connecting", notice: null });
    expect(client.session).not.toBeNull();
  });

  it("shows the log-in form when nobody is logged in", async () => {
    const { client, server, store } = open();
    server.on("GET /me", unauthenticated);
    await client.start();
    expect(store.getState()).toMatchObject({
      me: null,
      installation: { registration: "open" },
      notice: null,
    });
  });

  it("fails to start without the server", async () => {
    const { client } = open();
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
    await expect(client.start()).rejects.toMatchObject({ code: "offline" });
  });

  it("logs in, and has one session at a time", async () => {
    const { client, server, store } = open();
    await client.logIn("aki", "secret");
    const first = server.socket;
    await client.register("aki", "", "secret", "");
    expect(first.closed).toBe(true);
    expect(server.sockets).toHaveLength(2);
    expect(store.getState().me).toEqual(user);
  });

  it("logs out: drafts and state are gone, the connection is closed", async () => {
    const { client, server, store } = open();
    await client.logIn("aki", "secret");
    client.session!.messages.saveDraft("c", "a draft");
    await client.logOut();
    expect(server.requests.at(-2)).toBe("POST /logout");
    expect(server.socket.closed).toBe(true);
    expect(client.session).toBeNull();
    expect(store.getState()).toMatchObject({ me: null, notice: null, connection: "idle" });
    await client.logIn("aki", "secret");
    expect(await client.session!.messages.draft("c")).toBe("");
  });

  it("chats and logs out where the database cannot be opened", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = open();
    const other = { ...user, id: "unopenable" };
    server.on("POST /login", () => ({ user: other }));
    // A later version of the page has been here: opening fails.
    (await openDB("hikyaku-" + other.id, 2)).close();
    await client.logIn("aki", "secret");
    expect(warn).toHaveBeenCalledOnce();
    expect(store.getState()).toMatchObject({ me: other, storageFailed: true });
    server.hello();
    client.session!.messages.saveDraft("c", "a draft");
    expect(await client.session!.messages.draft("c")).toBe("a draft");
    client.session!.messages.send("c", "hello", 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toMatchObject([{ body: "hello" }]), {
      timeout: 30_000,
    });
    await client.logOut();
    expect(store.getState().me).toBeNull();
  });

  it("does not wait for a database that does not open", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = open();
    const other = { ...user, id: "blocked" };
    server.on("POST /login", () => ({ user: other }));
    // The database is being deleted, which waits for another page.
    const page = await openDB("hikyaku-" + other.id, 1);
    const deleted = deleteDB("hikyaku-" + other.id);
    const done = client.logIn("aki", "secret");
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1), { timeout: 30_000 });
    await vi.advanceTimersByTimeAsync(5000);
    await done;
    expect(store.getState()).toMatchObject({ me: other, connection: "connecting" });
    page.close();
    await deleted;
  });

  it("sends and logs out after the database was closed under the page", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = open();
    const transaction = vi.spyOn(IDBDatabase.prototype, "transaction");
    await client.logIn("aki", "secret");
    server.hello();
    for (const db of transaction.mock.contexts) (db as IDBDatabase).close();
    client.session!.messages.saveDraft("c", "a draft");
    expect(await client.session!.messages.draft("c")).toBe("a draft");
    client.session!.messages.send("c", "hello", 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toMatchObject([{ body: "hello" }]), {
      timeout: 30_000,
    });
    expect(store.getState().storageFailed).toBe(true);
    // It is opened again, and has what was written meanwhile.
    await vi.advanceTimersByTimeAsync(2000);
    await vi.waitFor(() => expect(store.getState().storageFailed).toBe(false), { timeout: 30_000 });
    expect(await client.session!.messages.draft("c")).toBe("a draft");
    const database = await openStorage(user.id);
    expect(await database.outbox()).toMatchObject([{ body: "hello" }]);
    database.close();
    await client.logOut();
    expect(server.requests).toContain("POST /logout");
    expect(store.getState().me).toBeNull();
  });

  it("does not wait for a push service that does not answer", async () => {
    const { client, server } = open();
    await client.logIn("aki", "secret");
    const disable = vi.spyOn(client.push, "disable").mockReturnValue(new Promise(() => {}));
    let loggedOut = false;
    const done = client.logOut().then(() => (loggedOut = true));
    await vi.waitFor(() => expect(disable).toHaveBeenCalled(), { timeout: 30_000 });
    expect(loggedOut).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    await done;
    expect(server.requests).toContain("POST /logout");
  });

  it("ends the session when a request is refused as unauthenticated, or the server says so", async () => {
    const { client, server, store } = open();
    await client.logIn("aki", "secret");
    server.on("GET /conversations", unauthenticated);
    await expect(client.session!.conversations.members("c")).rejects.toMatchObject({ status: 401 });
    expect(store.getState()).toMatchObject({ me: null, notice: "expired" });
    await client.logIn("aki", "secret");
    server.hello();
    server.socket.drop(4100);
    expect(store.getState()).toMatchObject({ me: null, notice: "revoked" });
  });
});
