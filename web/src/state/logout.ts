import { Problem, type RestClient } from "../net/rest";
import { deleteNote, getNote, setNote } from "../sync/notes";

/** Under this key is the log-out that the server has not heard. */
const key = "hikyaku-logout";
/** How long the server may take to answer one. */
const answerTimeout = 10_000;

/** LogOut names the session that ends. */
export type LogOut = { user: string; session: string };

/** PendingLogOut keeps a log-out until the server has heard it, over reloads too:
 * scripts cannot delete the session's cookie, and with it a page that was loaded
 * again would be logged in. */
export class PendingLogOut {
  constructor(private readonly rest: RestClient) {}

  /** The log-out that the server has not heard, of this tab or another one. Whoever
   * logs in finishes it first. */
  get current(): LogOut | null {
    try {
      return JSON.parse(getNote(key) ?? "null") as LogOut | null;
    } catch {
      return null;
    }
  }

  begin(logOut: LogOut) {
    setNote(key, JSON.stringify(logOut));
  }

  /** Tells the server, if there is something to tell. Throws a Problem when the
   * server did not hear it. */
  async finish() {
    const logOut = this.current;
    if (!logOut) return;
    const rest = this.rest.for(logOut.user, AbortSignal.timeout(answerTimeout));
    try {
      await this.end(logOut, rest);
    } catch (e) {
      // Otherwise the browser is not logged in with that account.
      if (!(e instanceof Problem && [401, 404, 412].includes(e.status))) throw e;
    }
    // Another tab may have begun the next one meanwhile.
    if (this.isCurrent(logOut)) deleteNote(key);
  }

  private async end(logOut: LogOut, rest: RestClient) {
    try {
      await rest.delete("/sessions/" + logOut.session);
    } catch (e) {
      if (!(e instanceof Problem && e.status === 404)) throw e;
      // That session was over, and the browser has another one of the account: it was
      // logged in again in a tab that this one did not hear.
      const { session } = await rest.get<{ session: string }>("/me");
      // Once another tab has finished this log-out, the session may be of a later log-in.
      if (this.isCurrent(logOut)) await rest.delete("/sessions/" + session);
    }
  }

  private isCurrent({ user, session }: LogOut) {
    const { current } = this;
    return current?.user === user && current.session === session;
  }
}
