// For tests: clients of the fake server.
import { afterEach, beforeEach, vi } from "vitest";
import { Client } from "./client";
import { setup, unauthenticated } from "./fakeserver";

export const user = { id: "1", name: "aki", display_name: "Aki" };
export const ben = { id: "2", name: "ben", display_name: "Ben" };
export const noContent = () => new Response(null, { status: 204 });
export const notFound = () => new Response(JSON.stringify({ code: "not_found" }), { status: 404 });
export const otherAccount = () => new Response(JSON.stringify({ code: "other_account" }), { status: 412 });

/** Those of the test, which would be other tabs of the next one. */
const opened: Client[] = [];

/** Has a client stopped at the end of the test. */
export function keep(client: Client) {
  opened.push(client);
}

export function openClient() {
  const fixture = setup();
  fixture.server.on("GET /installation", () => ({ registration: "open" }));
  fixture.server.on("GET /me", unauthenticated);
  fixture.server.on("POST /login", () => ({ user, session: "s1" }));
  fixture.server.on("POST /register", () => ({ user, session: "s1" }));
  fixture.server.on("DELETE /sessions/s1", noContent);
  const client = new Client(fixture.store, fixture.server.dial);
  keep(client);
  return { ...fixture, client };
}

/** Gives each test of a group a browser in which nobody is logged in. */
export function withClients() {
  // The database in memory needs the other timers.
  beforeEach(() => {
    localStorage.clear();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    for (const client of opened.splice(0)) client.session?.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
}
