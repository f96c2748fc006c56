// For tests: what a browser has for the tabs of an account, their channel and their
// locks. Nothing happens at once: what a tab does reaches the browser later, and what the
// browser does a tab, the channel's messages in their order, and what concerns the locks in
// its own.
import type { Locks } from "./senderlock";
import type { Channel, TabMessage } from "./tabs";

export type Subject = "channel" | "locks";
type Callback = () => Promise<void> | undefined;
type LockRequest = {
  tab: object;
  steals: boolean;
  grant: () => void;
  reject: (e: unknown) => void;
};

const aborted = () => new DOMException("aborted", "AbortError");

/** FakeBrowser has one channel and one lock, as one account needs. */
export class FakeBrowser {
  private readonly channels = new Map<Channel, object>();
  private readonly ended = new Set<object>();
  private holder: LockRequest | undefined;
  private waiting: LockRequest[] = [];

  constructor(
    /** Does something in the browser after what the tab has done before. */
    private readonly inBrowser: (tab: object, s: Subject, run: () => void) => void = (_, _s, run) =>
      queueMicrotask(run),
    /** Does something in a tab, after what was to be done there before. */
    private readonly inTab: (tab: object, s: Subject, run: () => void) => void = (_, _s, run) =>
      queueMicrotask(run),
  ) {}

  /** Returns the tab that holds the lock. */
  get sender() {
    return this.holder?.tab;
  }

  openChannel(tab: object): Channel {
    const channel: Channel = {
      onmessage: null,
      postMessage: (m: TabMessage) => {
        if (!this.channels.has(channel)) throw new DOMException("closed", "InvalidStateError");
        const data = structuredClone(m);
        this.inBrowser(tab, "channel", () => {
          for (const [other, otherTab] of this.channels)
            if (other !== channel)
              this.inTab(otherTab, "channel", () => {
                if (this.channels.has(other)) other.onmessage?.({ data });
              });
        });
      },
      close: () => this.channels.delete(channel),
    };
    this.channels.set(channel, tab);
    return channel;
  }

  locks(tab: object): Locks {
    return { request: (_, options, callback) => this.request(tab, options, callback) };
  }

  /** A tab ends without a word, as when it crashes. */
  end(tab: object) {
    for (const [channel, t] of this.channels) if (t === tab) this.channels.delete(channel);
    this.inBrowser(tab, "locks", () => {
      this.ended.add(tab);
      this.waiting = this.waiting.filter((r) => r.tab !== tab);
      if (this.holder?.tab === tab) this.release(this.holder);
    });
  }

  private request(
    tab: object,
    { signal, steal }: { signal?: AbortSignal; steal?: boolean },
    callback: Callback,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const r: LockRequest = {
        tab,
        steals: steal ?? false,
        reject: (e) => this.inTab(tab, "locks", () => reject(e)),
        grant: () =>
          this.inTab(tab, "locks", () => {
            const release = () => this.inBrowser(tab, "locks", () => this.release(r));
            if (signal?.aborted) {
              release();
              reject(aborted());
              return;
            }
            void Promise.resolve(callback()).then(() => {
              release();
              resolve(undefined);
            }, reject);
          }),
      };
      signal?.addEventListener("abort", () =>
        this.inBrowser(tab, "locks", () => {
          if (!this.waiting.includes(r)) return;
          this.waiting = this.waiting.filter((w) => w !== r);
          r.reject(aborted());
        }),
      );
      this.inBrowser(tab, "locks", () => {
        if (this.ended.has(tab)) return;
        if (r.steals) {
          this.holder?.reject(aborted());
          this.holder = r;
          r.grant();
          return;
        }
        this.waiting.push(r);
        this.next();
      });
    });
  }

  private release(r: LockRequest) {
    if (this.holder !== r) return; // it was taken meanwhile
    this.holder = undefined;
    this.next();
  }

  private next() {
    if (this.holder) return;
    this.holder = this.waiting.shift();
    this.holder?.grant();
  }
}
