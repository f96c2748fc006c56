import type { ClientFrame } from "../protocol/types";
import { byActivity, type AppStore } from "./app";

/** How many users the server lets one connection watch. */
const watchLimit = 500;

/** Presence reports the user's own presence, and watches that of the people
 * whose presence the page shows. */
export class Presence {
  /** The users that the server watches for this connection. */
  private watched = "";
  private visibleMembers: string[] = [];
  /** The one whose card is shown, if any. */
  private person: string | null = null;

  constructor(
    private readonly store: AppStore,
    private readonly send: (frame: ClientFrame) => boolean,
    private readonly isHidden: () => boolean = () => document.visibilityState === "hidden",
  ) {}

  /** A new connection is open: it watches nobody yet, and is not away. */
  connected() {
    if (this.isHidden()) this.setAway(true);
    this.watched = "";
    this.watch();
  }

  setAway(away: boolean) {
    this.send({ t: "status", away });
  }

  setVisibleMembers(ids: string[]) {
    this.visibleMembers = ids;
    this.watch();
  }

  showPerson(id: string | null) {
    this.person = id;
    this.watch();
  }

  /** Sends whom to watch, if that has changed. */
  watch() {
    // Where they are too many, those of the latest conversations.
    const conversations = byActivity(this.store.getState().conversations);
    const peers = conversations.flatMap((c) => (c.peer ? [c.peer.id] : []));
    const person = this.person ? [this.person] : [];
    const users = [...new Set([...person, ...this.visibleMembers, ...peers])].slice(0, watchLimit).sort();
    const key = users.join();
    if (key === this.watched) return;
    if (this.send({ t: "watch", users })) this.watched = key;
  }
}
