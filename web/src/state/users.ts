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

  add(users: User[]) {
    this.store.setState((s) => ({
      users: { ...s.users, ...Object.fromEntries(users.map((u) => [u.id, u])) },
    }));
  }

  async find(query: string): Promise<User[]> {
    const { items } = await this.rest.get<{ items: User[] }>(
      "/users?limit=20&q=" + encodeURIComponent(query),
    );
    this.add(items);
    return items;
  }

  private schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    this.timers.after(batchDelay, () => {
      this.scheduled = false;
      const ids = [...this.requested].slice(0, batchSize);
      for (const id of ids) this.requested.delete(id);
      if (this.requested.size > 0) this.schedule();
      void this.rest
        .get<{ items: User[] }>("/users?ids=" + ids.join())
        .then(({ items }) => this.add(items))
        .catch(() => {}); // requested again when the page shows the user the next time
    });
  }
}
