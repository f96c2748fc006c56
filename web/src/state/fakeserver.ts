// For tests: a server whose REST API and gateway are the test.
import { vi } from "vitest";
import { createStore } from "zustand/vanilla";
import { FakeWebSocket } from "../net/fakewebsocket";
import { RestClient } from "../net/rest";
import { MemoryStorage } from "../sync/memorystorage";
import { initialState, type AppState } from "./app";

type Route = (path: string, body: unknown) => unknown;

export class FakeServer {
  /** The requests in the order of their arrival, as "GET /path". */
  readonly requests: string[] = [];
  /** For which accounts those were meant that named one. */
  readonly accounts: string[] = [];
  readonly sockets: FakeWebSocket[] = [];
  /** For which account the last connection was dialed. */
  dialed = "";
  private readonly routes: [string, Route][] = [];

  constructor() {
    // Who is logged in is who GET /me says.
    this.on("GET /session", async (path, body) => {
      const me = await this.routes.findLast(([prefix]) => prefix === "GET /me")?.[1](path, body);
      return me instanceof Response && me.status === 401 ? new Response(null, { status: 204 }) : me;
    });
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      const path = url.replace("/api/v1", "");
      const request = `${init.method} ${path}`;
      this.requests.push(request);
      const account = new Headers(init.headers).get("Hikyaku-Account");
      if (account) this.accounts.push(account);
      const route = this.routes.findLast(([prefix]) => request.startsWith(prefix));
      if (!route) return new Response(JSON.stringify({ code: "not_found" }), { status: 404 });
      const answer = await route[1](path, init.body ? JSON.parse(init.body as string) : undefined);
      return answer instanceof Response ? answer : new Response(JSON.stringify(answer ?? {}));
    });
  }

  /** Answers requests that begin with a prefix, as "GET /path"; the last that matches applies. */
  on(prefix: string, route: Route) {
    this.routes.push([prefix, route]);
  }

  readonly dial = (account: string) => {
    this.dialed = account;
    const socket = new FakeWebSocket();
    this.sockets.push(socket);
    return socket;
  };

  /** Returns the connection that was dialed last. */
  get socket() {
    return this.sockets.at(-1)!;
  }

  /** Opens that connection, by default for the account that it is meant for. */
  hello(time = Date.now(), user = this.dialed, session = "s1") {
    const limits = { heartbeat_ms: 4000, in_flight: 10 };
    this.socket.receive({
      t: "hello",
      user: { id: user, name: "aki", display_name: "Aki" },
      session,
      limits,
      time,
    });
  }
}

export const unauthenticated = () =>
  new Response(JSON.stringify({ code: "unauthenticated" }), { status: 401 });

export const createAppStore = (state: Partial<AppState> = {}) =>
  createStore<AppState>()(() => ({ ...initialState, ...state }));

export function setup(state: Partial<AppState> = {}) {
  return { server: new FakeServer(), store: createAppStore(state), rest: new RestClient() };
}

/** A storage that knows whether it is closed. */
export class FakeStorage extends MemoryStorage {
  closed = false;

  override close() {
    this.closed = true;
  }
}
