import { Problem, RestClient } from "../net/rest";
import type { WebSocketLike } from "../net/socket";
import type { Installation, User } from "../protocol/types";
import { copyOwner, discardCopies, discardCopy, noteCopy } from "../sync/copydatabase";
import { DeviceStorage } from "../sync/devicestorage";
import { deleteDiscarded, discardStorage, openStorage } from "../sync/storage";
import { openTabs } from "../sync/tabs";
import type { AccountNews, AccountTabs } from "./accounttabs";
import { emptySessionState, unsent, type AppState, type AppStore } from "./app";
import { PendingLogOut } from "./logout";
import { clearPlaces } from "./places";
import { PushNotifications } from "./push";
import { Session } from "./session";
import { copyLocks } from "./worker";

/** How long the server has to say who is logged in before the page shows what the device
 * has kept. */
const startBound = 4000;
/** How long logging out waits for the push service. */
const pushTimeout = 2000;
/** How long a log-out that the server did not hear waits until it is told again;
 * the time doubles with each attempt. */
const firstLogOutDelay = 2000;
const maxLogOutDelay = 60_000;

/** Grant is who is logged in in this browser, and by which session. */
type Grant = { user: User; session: string };

/** Client is the page without its views. It logs users in and out, and owns the
 * session in between.
 *
 * A browser is logged in with one account at a time. A page belongs to the account
 * that it was opened or logged in with: when somebody else logs in, it stops, keeps
 * what was written, and asks. */
export class Client {
  /** For requests of whoever is logged in. */
  private readonly ownRest = new RestClient();
  /** For requests of the session that runs. */
  private readonly sessionRest = new RestClient(
    (why) => void this.lose(why === "unauthenticated" ? "expired" : null),
  );
  private readonly pendingLogOut = new PendingLogOut(this.ownRest);
  private logOutTimer: ReturnType<typeof setTimeout> | undefined;
  readonly push = new PushNotifications(this.ownRest);
  session: Session | null = null;
  /** The grant of that session. */
  private grant: Grant | null = null;
  /** Whose page this was, until that user logs out. */
  lastUser: User | null = null;
  /** For whom a session begins that does not run yet. */
  private starting: string | null = null;
  /** Counts beginnings and ends of sessions. */
  private turn = 0;

  constructor(
    private readonly store: AppStore,
    private readonly dial: (account: string) => WebSocketLike,
    private readonly tabs: AccountTabs = { tell: () => {}, onNews: () => {} },
  ) {
    tabs.onNews = (news) => this.heardFromTab(news);
  }

  /** The REST API, for the session that runs, if one does. */
  get rest(): RestClient {
    return this.session?.rest ?? this.ownRest;
  }

  /** Loads what the page needs before anything else, and resumes the session
   * of an earlier visit. */
  async start() {
    // The page may have been closed before it came to that.
    void deleteDiscarded().catch(warnNotDeleted);
    await this.pendingLogOut.finish();
    const owner = copyOwner();
    const answers = Promise.all([this.fetchInstallation(), this.askWhoIsLoggedIn()]);
    const answered = await (owner ? within(startBound, answers) : answers).catch((e) => {
      if (!owner || !isAway(e)) throw e;
      return null;
    });
    // The server says who is logged in as soon as it can be reached.
    if (!answered) return this.startSession(owner!, true);
    const [installation, grant] = answered;
    if (grant) await this.startSession(grant);
    else {
      void discardCopies().catch(warnNotDeleted);
      void this.push.suspend().catch(() => {});
    }
    // Not before: until a session runs, who has an installation is shown its log-in form.
    this.store.setState({ installation });
  }

  /** The device says whether it has a network. */
  networkChanged(hasNetwork: boolean) {
    this.store.setState({ hasNetwork });
    if (hasNetwork) this.reconnectNow();
    else this.session?.networkLost();
  }

  /** Does now what waits for the network: it is back, or the page is visible again. */
  reconnectNow() {
    this.session?.reconnectNow();
    if (this.pendingLogOut.current) this.finishLogOutLater(0);
  }

  async logIn(name: string, password: string) {
    await this.pendingLogOut.finish();
    const grant = await this.ownRest.post<Grant>("/login", { name, password, cookie: true });
    this.tabs.tell({ t: "in", ...grant });
    await this.startSession(grant);
  }

  async register(name: string, displayName: string, password: string, invitation: string) {
    await this.pendingLogOut.finish();
    const grant = await this.ownRest.post<Grant>("/register", {
      name,
      password,
      cookie: true,
      ...(displayName ? { display_name: displayName } : {}),
      ...(invitation ? { invitation } : {}),
    });
    this.tabs.tell({ t: "in", ...grant });
    await this.startSession(grant);
  }

  /** Logs out, and deletes what the device has stored for the account. Messages that
   * are not sent prevent it unless they are to be discarded; returns how many do. */
  async logOut(discardUnsent = false): Promise<number> {
    const { grant, session } = this;
    if (!grant || !session) return 0;
    const waiting = unsent(this.store.getState().outbox).length;
    if (waiting > 0 && !discardUnsent) return waiting;
    const { user } = grant;
    this.pendingLogOut.begin({ user: user.id, session: grant.session });
    this.tabs.tell({ t: "out", user: user.id });
    this.lastUser = null;
    clearPlaces();
    // Before anything is waited for: from here on nothing can be written, sent or saved.
    this.endSession("loggingOut");
    const { turn } = this;
    // Neither a database nor a push service must keep the user logged in.
    const deleted = discardStorage(user.id).catch(warnNotDeleted);
    await Promise.race([
      this.push.disable(user.id).catch(() => {}),
      new Promise((done) => setTimeout(done, pushTimeout)),
    ]);
    const heard = await this.pendingLogOut.finish().then(
      () => true,
      () => false,
    );
    if (!heard) this.finishLogOutLater(firstLogOutDelay);
    // Unless somebody has logged in meanwhile.
    if (turn === this.turn) {
      this.store.setState({ notice: heard ? null : "logOutPending" });
      void this.push.suspend().catch(() => {});
    }
    await deleted;
    return 0;
  }

  /** Makes this the page of the user who is logged in. */
  async continueAs(user: User) {
    try {
      await this.startSession(await this.ownRest.for(user.id).get<Grant>("/me"));
    } catch (e) {
      if (!(e instanceof Problem && [401, 412].includes(e.status))) throw e;
      await this.lookWhoIsLoggedIn();
    }
  }

  /** Shows the log-in form, although somebody else is logged in. */
  logInAsOther() {
    this.store.setState({ takenBy: null, notice: null });
  }

  private async startSession(grant: Grant, isOffline = false) {
    const turn = ++this.turn;
    const me = grant.user;
    this.starting = me.id;
    let session: Session | null = null;
    const storage = new DeviceStorage(
      () => openStorage(me.id),
      (isOpen) => session?.storageChanged(isOpen),
    );
    await storage.open();
    // A log-out in another tab, of which this one has not heard yet.
    if (this.pendingLogOut.current?.user === me.id) this.heardLogOut(me.id);
    if (turn !== this.turn) return storage.close();
    this.starting = null;
    this.session?.stop();
    // Whoever is logged in has an account: the form after a log-out is not the first one's.
    this.store.setState((s) => ({
      installation: s.installation && { ...s.installation, first_account: false },
    }));
    void discardCopies(me.id).catch(warnNotDeleted);
    const locks = copyLocks();
    if (locks) noteCopy(grant);
    session = new Session({
      store: this.store,
      rest: this.sessionRest,
      storage,
      account: me.id,
      tabs: openTabs(me.id),
      dial: this.dial,
      copyLocks: locks,
      onCopyFailed: () => void discardCopy(me.id).catch(warnNotDeleted),
      onConnected: (user, id) => {
        if (this.session !== session) return;
        // A page that was loaded without the server has what the device had noted of them.
        this.store.setState((s) => ({ me: user, users: { ...s.users, [user.id]: user } }));
        this.lastUser = user;
        this.grant = { user, session: id };
        if (copyOwner()?.user.id === me.id) noteCopy(this.grant);
        if (!this.store.getState().installation) void this.refreshInstallation();
      },
      onRevoked: () => void this.lose("revoked"),
      onOtherAccount: () => void this.lose(null),
    });
    this.session = session;
    this.grant = grant;
    this.lastUser = me;
    this.store.setState({
      ...emptySessionState,
      ...{ me, notice: null, takenBy: null, lost: 0, users: { [me.id]: me }, storageFailed: !storage.isOpen },
    });
    await session.start(isOffline);
    if (this.session === session) void this.push.resume(me.id).catch(() => {});
  }

  /** Stops what runs for the account, and shows the log-in form. */
  private endSession(notice: AppState["notice"]) {
    this.turn++;
    this.session?.stop();
    void discardCopies().catch(warnNotDeleted);
    this.session = null;
    this.grant = null;
    this.starting = null;
    const { storageFailed, outbox } = this.store.getState();
    // At a log-out the user has said so.
    const lost = storageFailed && notice !== "loggingOut" ? unsent(outbox).length : 0;
    this.store.setState({ ...emptySessionState, notice, takenBy: null, lost });
    void this.refreshInstallation();
  }

  /** The session has ended, or is not this browser's any more. */
  private async lose(notice: AppState["notice"]) {
    if (!this.grant) return;
    this.endSession(notice);
    await this.lookWhoIsLoggedIn();
  }

  private async lookWhoIsLoggedIn() {
    const { turn } = this;
    const grant = await this.askWhoIsLoggedIn().catch(() => undefined);
    if (turn !== this.turn) return;
    if (grant) return this.takeOver(grant.user, () => this.startSession(grant));
    this.store.setState({ takenBy: null });
    // Nothing more is shown here. Where somebody else is logged in, that page sees to it.
    void this.push.suspend().catch(() => {});
  }

  private askWhoIsLoggedIn() {
    return this.ownRest.get<Grant | undefined>("/session");
  }

  private heardFromTab(news: AccountNews) {
    if (news.t === "out") return this.heardLogOut(news.user);
    const { user, session } = news;
    if (this.grant?.user.id === user.id) {
      // What this page does is still its own.
      this.grant = { user, session };
      return;
    }
    if (this.grant) this.endSession(null);
    this.takeOver(user, () => this.continueAs(user)).catch(() => {});
  }

  /** An account has logged out in another tab, and with it here. */
  private heardLogOut(user: string) {
    if (this.lastUser?.id === user) this.lastUser = null;
    if ([this.grant?.user.id, this.starting].includes(user)) {
      this.endSession("revoked");
      clearPlaces();
    }
    if (this.store.getState().takenBy?.by.id === user) this.store.setState({ takenBy: null });
    if (this.pendingLogOut.current) this.finishLogOutLater(firstLogOutDelay);
  }

  /** Somebody is logged in, and this page has no session: it goes on if it was
   * theirs, and asks otherwise. */
  private async takeOver(by: User, goOn: () => Promise<void>) {
    if (this.lastUser?.id === by.id) return goOn();
    this.turn++;
    this.starting = null;
    this.store.setState({ notice: null, takenBy: { by, from: this.lastUser } });
  }

  /** Tells the server of a log-out that it did not hear, until it does. */
  private finishLogOutLater(delay: number) {
    clearTimeout(this.logOutTimer);
    this.logOutTimer = setTimeout(async () => {
      try {
        await this.pendingLogOut.finish();
      } catch {
        this.finishLogOutLater(Math.min(Math.max(2 * delay, firstLogOutDelay), maxLogOutDelay));
        return;
      }
      if (this.store.getState().notice === "logOutPending") this.store.setState({ notice: null });
      void this.refreshInstallation();
    }, delay);
  }

  private fetchInstallation() {
    return this.ownRest.get<Installation>("/installation");
  }

  private async refreshInstallation() {
    const installation = await this.fetchInstallation().catch(() => null);
    if (installation) this.store.setState({ installation });
  }
}

/** Whether a request failed because the server cannot be reached: a proxy may have said so. */
function isAway(e: unknown): boolean {
  return e instanceof Problem && (e.status === 0 || e.status >= 500);
}

/** Waits for a promise for so many milliseconds; null when that was not long enough. */
function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  return Promise.race([promise, new Promise<null>((done) => setTimeout(done, ms, null))]);
}

function warnNotDeleted(e: unknown) {
  console.warn("what the device has stored cannot be deleted; it is tried again at the next visit", e);
}
