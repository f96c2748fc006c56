// @vitest-environment jsdom
// A page that is loaded without its server, and whose copy it shows.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { CopyDatabase, copyOwner, discardCopies, noteCopy } from "../sync/copydatabase";
import { FakeBrowser } from "../sync/fakebrowser";
import { unauthenticated } from "./fakeserver";
import { ben, noContent, openClient, user, withClients } from "./testclient";

const summary = { id: "c", kind: "group", title: "Team", seq: 1, rev: 1, read: 0, unread: 1, active_at: 1 };
const away = () => Promise.reject(new TypeError("offline"));

/** Has an earlier page leave a copy for an account. */
async function leaveCopy(owner = user, title = "Team") {
  noteCopy({ user: owner, session: "s1" });
  const db = await CopyDatabase.open(owner.id);
  await db.begin("e1");
  await db.write({
    conversations: [{ summary: { ...summary, title } as never }],
    users: [ben],
    messages: [],
    withoutMessages: [],
    gone: [],
  });
  db.close();
}

const databases = async () => (await indexedDB.databases()).map((d) => d.name);
const isGone = (id: string) =>
  vi.waitFor(async () => expect(await databases()).not.toContain("hikyaku-copy-" + id), { timeout: 30_000 });

describe("A page without its server", () => {
  withClients();
  beforeEach(async () => {
    noteCopy({ user, session: "" });
    noteCopy({ user: ben, session: "" });
    await discardCopies();
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("navigator", {
      ...{ onLine: true, language: "en", serviceWorker: { getRegistration: async () => undefined } },
      locks: new FakeBrowser().locks({}),
    });
  });

  it("shows what the device has kept, and goes on when the server is back", async () => {
    await leaveCopy();
    const { client, server, store } = openClient();
    vi.stubGlobal("fetch", away);
    await client.start();
    expect(store.getState()).toMatchObject({
      me: user,
      ready: false,
      conversations: { c: { title: "Team" } },
    });
    expect(store.getState().users["2"]).toEqual(ben);

    server.socket.receive({ t: "hello", user, session: "s1", limits: {}, epoch: "e1", time: 1 });
    expect(store.getState().conversations).toHaveProperty("c");
    const { id } = server.socket.sentOf("sync").at(-1) as { id: string };
    // The user was removed meanwhile.
    server.socket.receive({ t: "synced", id, conversations: [], gone: [], cursor: "1", more: false });
    expect(store.getState()).toMatchObject({ ready: true, conversations: {}, left: { c: "Team" } });
  });

  it("shows nothing that is of another history", async () => {
    await leaveCopy();
    const { client, server, store } = openClient();
    vi.stubGlobal("fetch", away);
    await client.start();
    server.socket.receive({ t: "hello", user, session: "s1", limits: {}, epoch: "e2", time: 1 });
    expect(store.getState().conversations).toEqual({});
  });

  it.each([
    ["nobody", unauthenticated],
    ["somebody else", () => ({ user: ben, session: "s2" })],
  ])("forgets it when the server says that %s is logged in", async (_, me) => {
    await leaveCopy();
    const { client, server, store } = openClient();
    server.on("GET /me", me);
    await client.start();
    expect(store.getState().conversations).toEqual({});
    expect(copyOwner()?.user.id).not.toBe(user.id);
    await isGone(user.id);
  });

  it("forgets it at a log-out, and with its session", async () => {
    for (const end of ["logOut", "revoked"]) {
      const { client, server } = openClient();
      server.on("GET /me", () => ({ user, session: "s1" }));
      await client.start();
      expect(copyOwner()?.user).toEqual(user);
      await leaveCopy();
      if (end === "logOut") await client.logOut();
      else server.socket.drop(4100);
      expect(copyOwner()).toBeNull();
      await isGone(user.id);
    }
  });

  it("shows nobody's while a log-out waits to be told", async () => {
    const first = openClient();
    first.server.on("GET /me", () => ({ user, session: "s1" }));
    first.server.on("DELETE", noContent);
    await first.client.start();
    vi.stubGlobal("fetch", away);
    await first.client.logOut();
    const second = openClient();
    vi.stubGlobal("fetch", away);
    await expect(second.client.start()).rejects.toThrow();
    expect(second.store.getState().me).toBeNull();
  });
});
