import type { RestClient } from "../net/rest";
import { GatewaySocket, type WebSocketLike } from "../net/socket";
import type { ClientFrame, Message, User } from "../protocol/types";
import { SyncClient } from "../sync/syncclient";
import { Outbox, type OutboxStorage } from "../sync/outbox";
import { ServerClock } from "../sync/serverclock";
import type { AppStore } from "./app";
import { Conversations } from "./conversations";
import { MarkSender } from "./marks";
import { Messages, type DraftStorage } from "./messages";
import { Presence } from "./presence";
import { Timelines } from "./timelines";
import { Users } from "./users";

/** DeviceStorage is what a device keeps for an account. */
export type DeviceStorage = OutboxStorage &
  DraftStorage & {
    clear(): Promise<void>;
    close(): void;
  };

export type SessionOptions = {
  store: AppStore;
  rest: RestClient;
  storage: DeviceStorage;
  dial: () => WebSocketLike;
  /** Called when the server has ended the session. */
  onRevoked: () => void;
};

/** Session is what runs while an account is logged in: the connection, the
 * synchronization, the outbox, and what a user can do with them. */
export class Session {
  readonly conversations: Conversations;
  readonly marks: MarkSender;
  readonly messages: Messages;
  readonly presence: Presence;
  readonly timelines: Timelines;
  readonly users: Users;
  private readonly socket: GatewaySocket;
  private readonly sync: SyncClient;
  private readonly outbox: Outbox;
  private readonly messageListeners = new Set<(m: Message) => void>();
  private isStopped = false;

  constructor(private readonly options: SessionOptions) {
    const { store, rest, storage, dial, onRevoked } = options;
    const clock = new ServerClock();
    const send = (frame: ClientFrame) => this.socket.send(frame);
    this.conversations = new Conversations(store, rest);
    this.marks = new MarkSender(store, send);
    this.presence = new Presence(store, send);
    this.timelines = new Timelines(store, rest);
    this.users = new Users(store, rest);
    this.outbox = new Outbox(storage, send, (outbox) => store.setState({ outbox }));
    this.messages = new Messages(rest, this.outbox, storage, clock, send);
    this.sync = new SyncClient(store, send, this.outbox, (id) => this.conversations.fetch(id));
    this.sync.onMessage = (m) => {
      this.marks.markReceived(m);
      for (const f of this.messageListeners) f(m);
    };
    this.socket = new GatewaySocket(dial, {
      onState: (connection) => {
        store.setState({ connection });
        if (connection === "open") return;
        this.outbox.disconnected();
        this.sync.disconnected();
      },
      onOpen: (hello) => {
        clock.set(hello.time);
        this.sync.connected(hello.epoch);
        this.outbox.connected(hello.limits.in_flight);
        this.presence.connected();
      },
      onFrame: (f) => this.sync.handleFrame(f),
      onTerminated: onRevoked,
    });
  }

  /** Takes up the messages that an earlier page left unsent, and connects. */
  async start() {
    await this.outbox.load();
    // The session may have been stopped meanwhile: the store is another's now.
    if (!this.isStopped) this.socket.start();
  }

  stop() {
    this.isStopped = true;
    this.socket.stop();
    this.sync.stop();
    this.outbox.stop();
    this.marks.stop();
    this.timelines.stop();
    this.users.stop();
    this.options.storage.close();
  }

  /** Connects now instead of at the end of the wait: the network is back, or
   * the page is visible again. */
  reconnectNow() {
    this.socket.reconnectNow();
  }

  /** Calls f for each message of others that arrives live; returns what ends that. */
  onMessage(f: (m: Message) => void): () => void {
    this.messageListeners.add(f);
    return () => void this.messageListeners.delete(f);
  }

  /** Deletes what this device has stored for the account: unsent messages and drafts. */
  clearStorage() {
    return this.options.storage.clear();
  }

  async changeDisplayName(display_name: string) {
    const me = await this.options.rest.patch<User>("/me", { display_name });
    this.options.store.setState((s) => ({ me, users: { ...s.users, [me.id]: me } }));
  }
  changePassword(current: string, replacement: string) {
    return this.options.rest.put("/me/password", { old: current, new: replacement });
  }
}
