import type { RestClient } from "../net/rest";
import type { User } from "../protocol/types";
import { Timers } from "../sync/timers";
import type { AppStore } from "./app";

/** How long requests are collected before they are sent as one. */
const batchDelay = 20;
/** How many users the server looks up at once. */
const batchSize = 200;

/** A name that is shown anew is asked for again when it is older than this, in
 * milliseconds; nothing tells the page when people change their names. */
const maxAge = 60_000;
/** How long who needs a name waits for it, in milliseconds. */
const maxNameWait = 3000;
/** How often the names that are shown are asked for again while the page is visible. */
const refreshInterval = 5 * 60_000;
/** A page that becomes visible, or connects, asks for them again after this time. */
const minRefreshInterval = 60_000;

/** Users knows the people that the page names. */
export class Users {
  private requested = new Set<string>();
  /** Numbers the requests in the order in which they were made. */
  private lastRequest = 0;
  /** Which request a user's entry comes from, if it does not come from a push. */
  private readonly origins = new WeakMap<User, number>();
  private scheduled = false;
  /** Those whose names are shown, and how often each of them. */
  private readonly shown = new Map<string, number>();
  /** When each user was asked for last, or was shown first, by an even clock. */
  private readonly askedAt = new Map<string, number>();
  private refreshedAt = performance.now();
  private readonly timers = new Timers();

  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
  ) {}

  stop() {
    this.timers.clear();
  }

  /** Shows a user's name, which is loaded if it is not known or old; returns what ends
   * that. */
  show(id: string): () => void {
    this.shown.set(id, (this.shown.get(id) ?? 0) + 1);
    const asked = this.askedAt.get(id);
    if (!this.store.getState().users[id]) this.request(id);
    else if (asked === undefined) this.askedAt.set(id, performance.now());
    else if (performance.now() - asked >= maxAge) this.request(id);
    return () => {
      const n = this.shown.get(id)! - 1;
      if (n > 0) this.shown.set(id, n);
      else this.shown.delete(id);
    };
  }

  /** Shows names that the device has kept until there is a connection: they may be old. */
  restore(kept: User[]) {
    this.store.setState((s) => ({
      users: { ...Object.fromEntries(kept.map((u) => [u.id, u])), ...s.users },
    }));
    for (const { id } of kept) this.askedAt.set(id, -Infinity);
    this.refreshedAt = -Infinity;
  }

  /** Loads the names that are not known and were not asked for. */
  need(ids: string[]) {
    for (const id of ids) if (!this.askedAt.has(id)) this.request(id);
  }

  /** Returns a user's name, which is loaded if it is not known; "…" if that takes long. */
  async nameOf(id: string): Promise<string> {
    const known = this.store.getState().users[id];
    if (known) return known.display_name;
    const hide = this.show(id);
    let forget = () => {};
    const name = new Promise<string>((resolve) => {
      forget = this.store.subscribe(({ users: { [id]: user } }) => user && resolve(user.display_name));
      this.timers.after(maxNameWait, () => resolve("…"));
    });
    return name.finally(() => {
      forget();
      hide();
    });
  }

  /** Asks again for the names that are shown, unless that was done just now. */
  refresh() {
    if (performance.now() - this.refreshedAt < minRefreshInterval) return;
    this.refreshedAt = performance.now();
    for (const id of this.shown.keys()) this.request(id);
  }

  /** Keeps the names that are shown up to date while the page is visible. */
  keepFresh(isVisible: () => boolean) {
    this.timers.after(refreshInterval, () => {
      if (isVisible()) this.refresh();
      this.keepFresh(isVisible);
    });
  }

  /** Loads a user, together with others that are asked for at that time. */
  private request(id: string) {
    if (this.requested.has(id)) return;
    this.requested.add(id);
    this.askedAt.set(id, performance.now());
    this.schedule();
  }

  /** Waits for an answer, and puts the people in it into the store, except those
   * of whom the page has been told something later meanwhile. */
  async addFrom<T>(request: Promise<T>, usersOf: (answer: T) => User[]): Promise<T> {
    const number = ++this.lastRequest;
    const before = this.store.getState().users;
    const answer = await request;
    this.store.setState((s) => {
      const users = { ...s.users };
      for (const u of usersOf(answer)) {
        const known = users[u.id];
        const isLater = known && known !== before[u.id] && !((this.origins.get(known) ?? Infinity) < number);
        if (isLater) continue;
        this.origins.set(u, number);
        users[u.id] = u;
      }
      return { users };
    });
    return answer;
  }

  /** Returns a page of the people whose names contain a text. */
  find(text = "", cursor = "") {
    return this.addFrom(this.rest.page<User>("/users", text, cursor), (page) => page.items);
  }

  private schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    this.timers.after(batchDelay, () => {
      this.scheduled = false;
      const ids = [...this.requested].slice(0, batchSize);
      for (const id of ids) this.requested.delete(id);
      if (this.requested.size > 0) this.schedule();
      const request = this.rest.get<{ items: User[] }>("/users?ids=" + ids.join());
      // Asked for again when the page shows them the next time.
      this.addFrom(request, (a) => a.items).catch(() => ids.forEach((id) => this.askedAt.delete(id)));
    });
  }
}
