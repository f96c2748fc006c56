import { Problem, type RestClient } from "../net/rest";

/** Under this key is the log-out that the server has not heard. */
const key = "hikyaku-logout";
/** How long the server may take to answer one. */
const answerTimeout = 10_000;

/** LogOut names the session that ends: no later one is ended by it. */
export type LogOut = { user: string; session: string };

/** PendingLogOut keeps a log-out until the server has heard it, over reloads too:
 * scripts cannot delete the session's cookie, and with it a page that was loaded
 * again would be logged in. */
export class PendingLogOut {
  /** The log-out where the browser stores nothing. */
  private unstored: LogOut | null = null;

  constructor(private readonly rest: RestClient) {}

  /** The log-out that the server has not heard, of this tab or another one. */
  get current(): LogOut | null {
    try {
      return (JSON.parse(localStorage.getItem(key) ?? "null") as LogOut | null) ?? this.unstored;
    } catch {
      return this.unstored;
    }
  }

  begin(logOut: LogOut) {
    this.unstored = null;
    try {
      localStorage.setItem(key, JSON.stringify(logOut));
    } catch {
      this.unstored = logOut;
    }
  }

  /** Tells the server, if there is something to tell. Throws a Problem when the
   * server did not hear it. */
  async finish() {
    const logOut = this.current;
    if (!logOut) return;
    const rest = this.rest.for(logOut.user, AbortSignal.timeout(answerTimeout));
    try {
      await rest.delete("/sessions/" + logOut.session);
    } catch (e) {
      // Otherwise the session is over, or this browser has another one.
      if (!(e instanceof Problem && [401, 404, 412].includes(e.status))) throw e;
    }
    // Another tab may have begun the next one meanwhile.
    if (this.current?.session === logOut.session) this.clear();
  }

  private clear() {
    this.unstored = null;
    try {
      localStorage.removeItem(key);
    } catch {
      // Then it was not stored either.
    }
  }
}
