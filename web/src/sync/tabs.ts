import type { DraftMessage } from "./drafts";
import type { OutboxTabMessage } from "./outbox";
import { SenderLock, type Locks } from "./senderlock";

export type TabMessage = OutboxTabMessage | DraftMessage;

/** The part of BroadcastChannel that is used, so that tests can replace it. */
export type Channel = {
  postMessage(m: TabMessage): void;
  onmessage: ((e: { data: TabMessage }) => void) | null;
  close(): void;
};

/** Tabs are the pages of one browser on which an account is logged in. They tell each
 * other over a channel, if there is one, and only one of them sends. */
export class Tabs {
  onMessage: (m: TabMessage) => void = () => {};
  readonly lock: SenderLock;

  constructor(
    account: string,
    private channel?: Channel,
    locks?: Locks,
    /** Whether the person can see this tab. */
    readonly isVisible: () => boolean = () => true,
  ) {
    // A tab sends what is in another only if it hears of that.
    this.lock = new SenderLock("hikyaku-outbox-" + account, channel && locks);
    if (channel) channel.onmessage = (e) => this.onMessage(e.data);
  }

  /** Tells all other tabs. */
  post(m: TabMessage) {
    this.channel?.postMessage(m);
  }

  close() {
    this.lock.release();
    this.channel?.close();
    this.channel = undefined;
  }
}

/** Opens the channel and the lock of an account, as far as the browser has them. */
export function openTabs(account: string): Tabs {
  const channel =
    typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("hikyaku-" + account);
  // Browsers have no locks for pages that came by plain HTTP.
  const locks = (navigator as { locks?: Locks }).locks;
  return new Tabs(
    account,
    channel as Channel | undefined,
    locks,
    () => document.visibilityState === "visible",
  );
}
