import type { RestClient } from "../net/rest";
import type { User } from "../protocol/types";
import { Timers } from "../sync/timers";
import type { AppStore } from "./app";

/** How long requests are collected before they are sent as one. */
const batchDelay = 20;
/** How many users the server looks up at once. */
const batchSize = 200;

/** Users knows the people that the page names. */
export class Users {
  private requested = new Set<string>();
  /** Numbers the requests in the order in which they were made. */
  private lastRequest = 0;
  /** Which request a user's entry comes from, if it does not come from a push. */
  private readonly origins = new WeakMap<User, number>();
  private scheduled = false;
  private readonly timers = new Timers();

  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
  ) {}

  stop() {
    this.timers.clear();
  }

  /** Loads a user that is not known, together with others that are asked for at that time. */
  request(id: string) {
    if (this.store.getState().users[id] || this.requested.has(id)) return;
    this.requested.add(id);
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
      this.addFrom(request, (a) => a.items).catch(() => {}); // requested again when the page shows the user the next time
    });
  }
}
