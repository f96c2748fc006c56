// @vitest-environment jsdom
import { deleteDB, openDB } from "idb";
import { describe, expect, it, vi } from "vitest";
import { discardStorage, openStorage, type Storage } from "../sync/storage";
import { Client } from "./client";
import { createAppStore, unauthenticated } from "./fakeserver";
import { ben, keep, noContent, notFound, openClient, otherAccount, user, withClients } from "./testclient";

/** Cuts every page off from the server; returns what ends that. */
function goOffline() {
  const { fetch } = globalThis;
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
  return () => vi.stubGlobal("fetch", fetch);
}

/** Has an account's database answer nobody; returns what ends that. */
async function hang(user: string) {
  const db = await openDB("hikyaku-" + user);
  let isHung = true;
  const tx = db.transaction(["outbox", "drafts"], "readwrite");
  const busy = (async () => {
    while (isHung) await tx.objectStore("outbox").get("");
  })();
  return async () => {
    isHung = false;
    await busy;
    await tx.done;
    db.close();
  };
}

/** Returns what an account's database has. */
async function stored(user: string) {
  const database = await openStorage(user);
  const found = { outbox: await database.outbox(), drafts: await database.drafts() };
  database.close();
  return found;
}

describe("Client", () => {
  withClients();

  it("resumes the session of an earlier visit", async () => {
    const { client, server, store } = openClient();
    server.on("GET /me", () => ({ user }));
    await client.start();
    expect(store.getState()).toMatchObject({ me: user, connection: "connecting", notice: null });
    expect(client.session).not.toBeNull();
  });

  it("shows no log-in form to one who is logged in, not even for a moment", async () => {
    const { client, server, store } = openClient();
    server.on("GET /me", () => ({ user }));
    const shown: boolean[] = [];
    store.subscribe((s) => shown.push(s.installation !== null && s.me === null));
    await client.start();
    expect(store.getState().installation).not.toBeNull();
    expect(shown).not.toContain(true);
  });

  it("shows the log-in form when nobody is logged in", async () => {
    const { client, server, store } = openClient();
    server.on("GET /me", unauthenticated);
    await client.start();
    expect(store.getState()).toMatchObject({
      me: null,
      installation: { registration: "open" },
      notice: null,
    });
  });

  it("fails to start without the server", async () => {
    const { client } = openClient();
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
    await expect(client.start()).rejects.toMatchObject({ code: "offline" });
  });

  it("logs in, and has one session at a time", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    const first = server.socket;
    await client.register("aki", "", "secret", "");
    expect(first.closed).toBe(true);
    expect(server.sockets).toHaveLength(2);
    expect(store.getState().me).toEqual(user);
  });

  it("logs out: drafts and state are gone, the connection is closed", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    client.session!.messages.changeDraft("c", { text: "a draft" });
    await client.logOut();
    expect(server.requests).toContain("DELETE /sessions/s1");
    expect(server.accounts.at(-1)).toBe(user.id);
    expect(server.socket.closed).toBe(true);
    expect(client.session).toBeNull();
    expect(store.getState()).toMatchObject({ me: null, notice: null, connection: "idle" });
    await client.logIn("aki", "secret");
    expect(store.getState().drafts).toEqual({});
  });

  it("chats and logs out where the database cannot be opened", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = openClient();
    const other = { ...user, id: "unopenable" };
    server.on("POST /login", () => ({ user: other, session: "s1" }));
    // A later version of the page has been here: opening fails.
    (await openDB("hikyaku-" + other.id, 2)).close();
    await client.logIn("aki", "secret");
    expect(warn).toHaveBeenCalledOnce();
    expect(store.getState()).toMatchObject({ me: other, storageFailed: true });
    server.hello();
    client.session!.messages.changeDraft("c", { text: "a draft" });
    expect(store.getState().drafts).toEqual({ c: { text: "a draft" } });
    client.session!.messages.send("c", "hello", 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toMatchObject([{ body: "hello" }]), {
      timeout: 30_000,
    });
    await client.logOut(true);
    expect(store.getState().me).toBeNull();
  });

  it("does not wait for a database that does not open", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = openClient();
    const other = { ...user, id: "blocked" };
    server.on("POST /login", () => ({ user: other, session: "s1" }));
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
    const { client, server, store } = openClient();
    const transaction = vi.spyOn(IDBDatabase.prototype, "transaction");
    await client.logIn("aki", "secret");
    server.hello();
    for (const db of transaction.mock.contexts) (db as IDBDatabase).close();
    client.session!.messages.changeDraft("c", { text: "a draft" });
    expect(store.getState().drafts).toEqual({ c: { text: "a draft" } });
    client.session!.messages.send("c", "hello", 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toMatchObject([{ body: "hello" }]), {
      timeout: 30_000,
    });
    expect(store.getState().storageFailed).toBe(true);
    // It is opened again, and has what was written meanwhile.
    await vi.advanceTimersByTimeAsync(2000);
    await vi.waitFor(() => expect(store.getState().storageFailed).toBe(false), { timeout: 30_000 });
    expect(store.getState().drafts).toEqual({ c: { text: "a draft" } });
    const database = await openStorage(user.id);
    expect(await database.outbox()).toMatchObject([{ body: "hello" }]);
    database.close();
    await client.logOut(true);
    expect(server.requests).toContain("DELETE /sessions/s1");
    expect(store.getState().me).toBeNull();
  });

  it("does not wait for a push service that does not answer", async () => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    const disable = vi.spyOn(client.push, "disable").mockReturnValue(new Promise(() => {}));
    let loggedOut = false;
    const done = client.logOut().then(() => (loggedOut = true));
    await vi.waitFor(() => expect(disable).toHaveBeenCalled(), { timeout: 30_000 });
    expect(loggedOut).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    await done;
    expect(server.requests).toContain("DELETE /sessions/s1");
  });

  it("ends the session when a request is refused as unauthenticated, or the server says so", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    server.on("GET /conversations", unauthenticated);
    await expect(client.session!.conversations.members("c")).rejects.toMatchObject({ status: 401 });
    expect(store.getState()).toMatchObject({ me: null, notice: "expired" });
    await client.logIn("aki", "secret");
    server.hello();
    server.socket.drop(4100);
    expect(store.getState()).toMatchObject({ me: null, notice: "revoked" });
  });

  it("asks before it deletes what is not sent", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    server.hello();
    for (const body of ["accepted", "refused", "unanswered"]) client.session!.messages.send("c", body, 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toHaveLength(3), { timeout: 30_000 });
    const [accepted, refused] = server.socket.sentOf("send") as { id: string }[];
    server.socket.receive({ t: "accepted", id: accepted!.id });
    server.socket.receive({ t: "rejected", id: refused!.id, code: "too_large", text: "" });
    expect(await client.logOut()).toBe(2);
    expect(store.getState()).toMatchObject({ me: user, outbox: { length: 3 } });
    expect(server.requests).not.toContain("DELETE /sessions/s1");
    const { messages } = client.session!;
    const done = client.logOut(true);
    // What is written from here on is neither sent nor kept, and there is nowhere to write.
    expect(server.socket.closed).toBe(true);
    expect(store.getState()).toMatchObject({ me: null, notice: "loggingOut", outbox: [] });
    messages.changeDraft("c", { text: "too late" });
    messages.send("c", "too late", 0);
    expect(await done).toBe(0);
    expect(store.getState()).toMatchObject({ me: null, notice: null });
    expect(await stored(user.id)).toEqual({ outbox: [], drafts: {} });
  });

  it("finishes a log-out that the server did not hear, as soon as it can", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    const goOnline = goOffline();
    await client.logOut();
    expect(store.getState()).toMatchObject({ me: null, notice: "logOutPending" });
    await vi.advanceTimersByTimeAsync(2000);
    await vi.advanceTimersByTimeAsync(3999);
    goOnline();
    expect(server.requests).not.toContain("DELETE /sessions/s1");
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(store.getState().notice).toBeNull(), { timeout: 30_000 });
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toEqual(["DELETE /sessions/s1"]);
    client.reconnectNow();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toHaveLength(1);
  });

  it("finishes it when the network is back, without waiting", async () => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    const goOnline = goOffline();
    await client.logOut();
    goOnline();
    client.reconnectNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(server.requests).toContain("DELETE /sessions/s1");
  });

  it.each([
    ["the session is over", unauthenticated],
    ["the session and the account's next one are over", notFound],
    ["somebody else is logged in", otherAccount],
    ["the server hears it", noContent],
  ])("finishes it before anything else after a reload: %s", async (_, answer) => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    const goOnline = goOffline();
    await client.logOut();
    const store = createAppStore();
    const reloaded = new Client(store, server.dial);
    keep(reloaded);
    await expect(reloaded.start()).rejects.toMatchObject({ code: "offline" });
    goOnline();
    server.requests.length = 0;
    server.on("DELETE /sessions/s1", answer);
    await reloaded.start();
    expect(server.requests.filter((r) => r !== "GET /me" && r !== "GET /session")).toEqual([
      "DELETE /sessions/s1",
      "GET /installation",
    ]);
    server.requests.length = 0;
    await reloaded.logIn("aki", "secret");
    expect(server.requests[0]).toBe("POST /login");
  });

  it("ends the session that the browser has, when that is not the one it knows of", async () => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    let session: string | null = "s2";
    server.on("GET /me", () => (session ? { user, session } : unauthenticated()));
    server.on("DELETE /sessions/", (path) => {
      if (path !== "/sessions/" + session) return notFound();
      session = null;
      return noContent();
    });
    await client.logOut();
    expect(session).toBeNull();
    expect(localStorage.getItem("hikyaku-logout")).toBeNull();
  });

  it("does not end the session of a log-in that came after the log-out", async () => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    server.on("DELETE /sessions/", notFound);
    server.on("GET /me", () => {
      // Another tab has told the server meanwhile, and logs in.
      localStorage.removeItem("hikyaku-logout");
      return { user, session: "s2" };
    });
    await client.logOut();
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toEqual(["DELETE /sessions/s1"]);
  });

  it("names the session that its connection is of", async () => {
    const { client, server } = openClient();
    await client.logIn("aki", "secret");
    server.hello(Date.now(), user.id, "s2");
    server.on("DELETE /sessions/s2", noContent);
    await client.logOut();
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toEqual(["DELETE /sessions/s2"]);
  });

  it("leaves alone who has logged in before the log-out was done", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    const disable = vi.spyOn(client.push, "disable").mockReturnValue(new Promise(() => {}));
    const done = client.logOut();
    await vi.waitFor(() => expect(disable).toHaveBeenCalled(), { timeout: 30_000 });
    server.on("POST /login", () => ({ user: ben, session: "s2" }));
    await client.logIn("ben", "secret");
    const suspend = vi.spyOn(client.push, "suspend");
    await vi.advanceTimersByTimeAsync(2000);
    await done;
    expect(suspend).not.toHaveBeenCalled();
    expect(store.getState()).toMatchObject({ me: ben, notice: null });
    expect(server.socket.closed).toBe(false);
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toEqual(["DELETE /sessions/s1"]);
  });

  it("never sends what was discarded, although the database could not delete it", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    server.hello();
    client.session!.messages.send("c", "discarded", 0);
    client.session!.messages.changeDraft("c", { text: "discarded" });
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toHaveLength(1), { timeout: 30_000 });
    const clear = vi.spyOn(IDBObjectStore.prototype, "clear").mockImplementation(() => {
      throw new DOMException("the disk is broken", "UnknownError");
    });
    await client.logOut(true);
    await client.logIn("aki", "secret");
    expect(clear).toHaveBeenCalled();
    expect(store.getState()).toMatchObject({ me: user, outbox: [], storageFailed: true });
    expect(store.getState().drafts).toEqual({});
    client.session!.messages.changeDraft("c", { text: "another draft" });
    // The disk works again: what was discarded goes before what was written since is kept.
    clear.mockRestore();
    await vi.advanceTimersByTimeAsync(2000);
    await vi.waitFor(() => expect(store.getState().storageFailed).toBe(false), { timeout: 30_000 });
    server.hello();
    expect(store.getState().drafts).toEqual({ c: { text: "another draft" } });
    expect(store.getState().outbox).toEqual([]);
    expect(server.socket.sentOf("send")).toEqual([]);
    expect(await stored(user.id)).toEqual({ outbox: [], drafts: { c: { text: "another draft" } } });
  });

  it("deletes at the next visit what a page that was closed too soon has left", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client } = openClient();
    const leave = async (storage: Storage) => {
      await storage.saveDraft("c", { text: "discarded" });
      storage.close();
    };
    await leave(await openStorage("left"));
    const clear = vi.spyOn(IDBObjectStore.prototype, "clear").mockImplementation(() => {
      throw new DOMException("the page is closed", "AbortError");
    });
    await expect(discardStorage("left")).rejects.toThrow("the page is closed");
    clear.mockRestore();
    await client.start();
    await vi.waitFor(() => expect(localStorage.getItem("hikyaku-discarded-left")).toBeNull(), {
      timeout: 30_000,
    });
    expect(await stored("left")).toEqual({ outbox: [], drafts: {} });
  });

  it("starts and logs out where the database has failed without a word", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    const goOn = await hang(user.id);
    const disable = vi.spyOn(client.push, "disable").mockResolvedValue();
    const done = client.logOut();
    await vi.waitFor(() => expect(store.getState()).toMatchObject({ me: null, notice: null }), {
      timeout: 30_000,
    });
    expect(disable).toHaveBeenCalled();
    expect(server.requests).toContain("DELETE /sessions/s1");
    await vi.advanceTimersByTimeAsync(5000);
    await done;
    // Loaded again, and with somebody else.
    server.on("GET /me", () => ({ user: ben, session: "s2" }));
    const reloadedStore = createAppStore();
    const reloaded = new Client(reloadedStore, server.dial);
    keep(reloaded);
    await reloaded.start();
    expect(reloadedStore.getState().me).toEqual(ben);
    await goOn();
    await vi.waitFor(() => expect(localStorage.getItem("hikyaku-discarded-1")).toBeNull(), {
      timeout: 30_000,
    });
  });

  it("finishes it before a log-in, which fails with it", async () => {
    const { client, server, store } = openClient();
    await client.logIn("aki", "secret");
    server.on(
      "DELETE /sessions/s1",
      () => new Response(JSON.stringify({ code: "unavailable" }), { status: 503 }),
    );
    await client.logOut();
    server.requests.length = 0;
    await expect(client.logIn("aki", "secret")).rejects.toMatchObject({ code: "unavailable" });
    expect(server.requests).toEqual(["DELETE /sessions/s1"]);
    server.on("DELETE /sessions/s1", noContent);
    await client.logIn("aki", "secret");
    expect(server.requests.slice(1, 3)).toEqual(["DELETE /sessions/s1", "POST /login"]);
    expect(store.getState().me).toEqual(user);
  });
});
