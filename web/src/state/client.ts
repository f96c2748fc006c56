import { Problem, RestClient } from "../net/rest";
import type { WebSocketLike } from "../net/socket";
import type { Installation, User } from "../protocol/types";
import { DeviceStorage } from "../sync/devicestorage";
import { openStorage } from "../sync/storage";
import { openTabs } from "../sync/tabs";
import { emptySessionState, type AppState, type AppStore } from "./app";
import { PushNotifications } from "./push";
import { Session } from "./session";

/** How long logging out waits for the push service. */
const pushTimeout = 2000;

/** Client is the page without its views. It logs users in and out, and owns
 * the session in between. */
export class Client {
  private readonly ownRest: RestClient;
  readonly push: PushNotifications;
  session: Session | null = null;

  constructor(
    private readonly store: AppStore,
    private readonly dial: () => WebSocketLike,
  ) {
    this.ownRest = new RestClient(() => {
      if (this.session) void this.endSession("expired");
    });
    // What is asked for a device whose session has ended ends no other session.
    this.push = new PushNotifications(new RestClient());
  }

  /** The REST API, for the session that runs, if one does. */
  get rest(): RestClient {
    return this.session?.rest ?? this.ownRest;
  }

  /** Loads what the page needs before anything else, and resumes the session
   * of an earlier visit. */
  async start() {
    this.store.setState({ installation: await this.fetchInstallation() });
    try {
      const { user } = await this.rest.get<{ user: User }>("/me");
      await this.startSession(user);
    } catch (e) {
      if (!(e instanceof Problem && e.status === 401)) throw e;
      void this.push.suspend().catch(() => {});
    }
  }

  async logIn(name: string, password: string) {
    const { user } = await this.rest.post<{ user: User }>("/login", { name, password, cookie: true });
    await this.startSession(user);
  }

  async register(name: string, displayName: string, password: string, invitation: string) {
    const { user } = await this.rest.post<{ user: User }>("/register", {
      name,
      password,
      cookie: true,
      ...(displayName ? { display_name: displayName } : {}),
      ...(invitation ? { invitation } : {}),
    });
    await this.startSession(user);
  }

  async logOut() {
    // A database that has failed must not keep the user logged in.
    await this.session?.clearStorage().catch((e) => console.warn("the database cannot be cleared", e));
    // A slow push service must not keep the user logged in.
    await Promise.race([
      this.push.disable().catch(() => {}),
      new Promise((done) => setTimeout(done, pushTimeout)),
    ]);
    await this.rest.post("/logout").catch(() => {});
    await this.endSession(null);
  }

  private async startSession(me: User) {
    let session: Session | null = null;
    const storage = new DeviceStorage(
      () => openStorage(me.id),
      (isOpen) => session?.storageChanged(isOpen),
    );
    await storage.open();
    this.session?.stop();
    session = new Session({
      store: this.store,
      rest: this.ownRest,
      storage,
      tabs: openTabs(me.id),
      dial: this.dial,
      onRevoked: () => void this.endSession("revoked"),
    });
    this.session = session;
    this.store.setState({
      ...emptySessionState,
      ...{ me, notice: null, users: { [me.id]: me }, storageFailed: !storage.isOpen },
    });
    await session.start();
    if (this.session === session) void this.push.resume(me.id).catch(() => {});
  }

  /** Stops what runs for the account, and shows the log-in form. */
  private async endSession(notice: AppState["notice"]) {
    this.session?.stop();
    this.session = null;
    void this.push.suspend().catch(() => {});
    this.store.setState({ ...emptySessionState, notice });
    const installation = await this.fetchInstallation().catch(() => null);
    if (installation) this.store.setState({ installation });
  }

  private fetchInstallation() {
    return this.rest.get<Installation>("/installation");
  }
}
