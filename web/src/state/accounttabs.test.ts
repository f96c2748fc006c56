// @vitest-environment jsdom
import { describe, expect, it, vi } from "vitest";
import { openStorage } from "../sync/storage";
import type { AccountTabs } from "./accounttabs";
import { Client } from "./client";
import { createAppStore, unauthenticated } from "./fakeserver";
import { ben, keep, noContent, openClient, otherAccount, user, withClients } from "./testclient";

/** Two tabs of one browser: they share the cookie. */
function openTabs() {
  const browser = { user: null as typeof user | null, session: 0 };
  const first = openClient();
  const { server } = first;
  const both: AccountTabs[] = [];
  const tab = (): AccountTabs => {
    const self: AccountTabs = {
      tell: (news) => both.filter((t) => t !== self).forEach((t) => t.onNews(news)),
      onNews: () => {},
    };
    both.push(self);
    return self;
  };
  const grant = () => ({ user: browser.user, session: "s" + browser.session });
  server.on("GET /me", () => {
    if (!browser.user) return unauthenticated();
    return grant();
  });
  server.on("POST /login", (_, body) => {
    browser.user = (body as { name: string }).name === "ben" ? ben : user;
    browser.session++;
    return grant();
  });
  server.on("DELETE /sessions/", () => {
    browser.user = null;
    return noContent();
  });
  const page = () => {
    const store = createAppStore();
    const client = new Client(store, server.dial, tab());
    keep(client);
    return { store, client };
  };
  return { browser, server, both, a: page(), b: page() };
}

describe("two tabs", () => {
  withClients();

  it("say how many messages are lost, where nothing could be saved", async () => {
    const { a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    a.store.setState({ storageFailed: true });
    a.client.session!.messages.send("c", "one", 0);
    a.client.session!.messages.send("c", "two", 0);
    await b.client.logIn("ben", "secret");
    expect(a.store.getState()).toMatchObject({ me: null, takenBy: { by: ben }, lost: 2 });
    await a.client.continueAs(ben);
    expect(a.store.getState()).toMatchObject({ me: ben, lost: 0 });
    const database = await openStorage(user.id); // which works in truth
    await database.clear();
    database.close();
  });

  it("of which one logs in as somebody else: the other stops, and keeps what was written", async () => {
    const { server, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    a.client.session!.messages.changeDraft("c", { text: "Aki's draft" });
    const [socket] = server.sockets;
    await b.client.logIn("ben", "secret");
    expect(a.store.getState()).toMatchObject({ me: null, takenBy: { by: ben, from: user }, lost: 0 });
    expect(socket!.closed).toBe(true);
    expect(a.client.session).toBeNull();
    expect(b.store.getState()).toMatchObject({ me: ben, takenBy: null });
    // The first tab goes on as Ben, and finds nothing of Aki's.
    await a.client.continueAs(ben);
    expect(a.store.getState()).toMatchObject({ me: ben, takenBy: null });
    expect(a.store.getState().drafts).toEqual({});
    // Aki logs in again there.
    await a.client.logIn("aki", "secret");
    expect(a.store.getState().drafts).toEqual({ c: { text: "Aki's draft" } });
    expect(b.store.getState()).toMatchObject({ me: null, takenBy: { by: user, from: ben } });
    b.client.logInAsOther();
    expect(b.store.getState()).toMatchObject({ me: null, takenBy: null });
  });

  it("that do not hear of each other: the connection and each request tell", async () => {
    const { server, both, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    server.hello();
    a.client.session!.messages.send("c", "written by Aki", 0);
    await vi.waitFor(() => expect(server.socket.sentOf("send")).toHaveLength(1), { timeout: 30_000 });
    for (const tab of both) tab.tell = () => {};
    await b.client.logIn("ben", "secret");
    const [first] = server.sockets;
    first!.drop();
    a.client.session!.reconnectNow();
    // A server that compares nothing lets it in.
    server.hello(Date.now(), ben.id);
    expect(server.socket.sent).toEqual([]);
    await vi.waitFor(() => expect(a.store.getState().takenBy).toEqual({ by: ben, from: user }), {
      timeout: 30_000,
    });
    const database = await openStorage(user.id);
    expect(await database.outbox()).toMatchObject([{ body: "written by Aki" }]);
    await database.clear();
    database.close();

    // One that compares refuses its requests.
    await b.client.logIn("aki", "secret");
    await a.client.logIn("ben", "secret");
    server.on("GET /conversations", otherAccount);
    await expect(b.client.session!.conversations.members("c")).rejects.toMatchObject({ status: 412 });
    await vi.waitFor(() => expect(b.store.getState().takenBy).toEqual({ by: ben, from: user }), {
      timeout: 30_000,
    });
  });

  it("of which one logs in again: the other goes on", async () => {
    const { server, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    server.hello();
    const { socket } = server;
    await b.client.logIn("aki", "secret");
    expect(a.store.getState().me).toEqual(user);
    socket.drop(4100); // the server has ended the session that was replaced
    await vi.waitFor(() => expect(a.store.getState().me).toEqual(user), { timeout: 30_000 });
    expect(a.store.getState()).toMatchObject({ notice: null, takenBy: null });
    expect(server.socket).not.toBe(socket);
  });

  it("of which one logs in again: the other knows the session that it ends", async () => {
    const { server, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    await b.client.start();
    await a.client.logIn("aki", "secret");
    await b.client.logOut();
    expect(server.requests.filter((r) => r.startsWith("DELETE"))).toEqual(["DELETE /sessions/s2"]);
  });

  it("of which one logs out while the other opens its database", async () => {
    const { server, both, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    const openDatabase = indexedDB.open.bind(indexedDB);
    vi.spyOn(indexedDB, "open").mockImplementationOnce((...args) => {
      both[0]!.tell({ t: "out", user: user.id });
      return openDatabase(...args);
    });
    await b.client.start();
    expect(b.store.getState()).toMatchObject({ me: null, notice: "revoked" });
    expect(b.client.session).toBeNull();
    expect(server.sockets).toHaveLength(1);
  });

  it("of which one logs out while the other, which does not hear of it, asks who is logged in", async () => {
    const { browser, server, both, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    for (const tab of both) tab.tell = () => {};
    server.on("DELETE /sessions/", () => new Response(null, { status: 503 }));
    server.on("GET /me", async () => {
      await a.client.logOut();
      return { user: browser.user, session: "s1" };
    });
    await b.client.start();
    expect(a.store.getState()).toMatchObject({ me: null, notice: "logOutPending" });
    expect(b.store.getState()).toMatchObject({ me: null, notice: "revoked" });
    expect(b.client.session).toBeNull();
    expect(server.sockets).toHaveLength(1);
  });

  it("of which one logs out: so does the other, and nobody is suggested", async () => {
    const { a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    await b.client.start();
    expect(b.store.getState().me).toEqual(user);
    await a.client.logOut();
    expect(b.store.getState()).toMatchObject({ me: null, notice: "revoked", takenBy: null });
    expect([a.client.lastUser, b.client.lastUser]).toEqual([null, null]);
    // Whoever logs in next is shown to be logged in to the other tab.
    await a.client.logIn("ben", "secret");
    expect(b.store.getState()).toMatchObject({ me: null, takenBy: { by: ben, from: null } });
    await a.client.logOut();
    expect(b.store.getState()).toMatchObject({ me: null, takenBy: null });
  });

  it("looks again when it can go on as nobody", async () => {
    const { browser, server, a, b } = openTabs();
    await a.client.logIn("aki", "secret");
    await b.client.logIn("ben", "secret");
    browser.user = null;
    await a.client.continueAs(ben);
    expect(a.store.getState()).toMatchObject({ me: null, takenBy: null });
    browser.user = { id: "3", name: "cho", display_name: "Cho" };
    server.on(
      "GET /me",
      (() => {
        let first = true;
        return () => {
          if (!first) return { user: browser.user, session: "s9" };
          first = false;
          return otherAccount();
        };
      })(),
    );
    await a.client.continueAs(ben);
    expect(a.store.getState().takenBy).toEqual({ by: browser.user, from: user });
  });
});
