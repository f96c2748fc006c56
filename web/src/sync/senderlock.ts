/** The part of the browser's LockManager that is used, so that tests can replace it. */
export type Locks = {
  request(
    name: string,
    options: { signal?: AbortSignal; steal?: boolean },
    callback: () => Promise<void> | undefined,
  ): Promise<unknown>;
};

/** How long the lock rests after the browser has refused it, which it does for a page
 * that is put aside, and after how many refusals in a row it counts as broken. */
const retryDelay = 1000;
const maxRefusals = 3;

type Request = { steals: boolean; end: () => void };

/** SenderLock decides which of the tabs of an account sends what is in their outbox:
 * the one that holds the lock. Where the browser has no locks (pages that came by
 * plain HTTP get none), or they do not work, nothing is exclusive, and each tab that asks holds it.
 *
 * A tab that has lost the lock may learn so late, for instance when it was frozen.
 * What it sends until then must do no harm. */
export class SenderLock {
  isHeld = false;
  /** Called when the lock is held, and when it is not any more. */
  onChange: (isHeld: boolean) => void = () => {};
  /** Whether this tab waits for its turn when it does not hold the lock. */
  private isWanted = false;
  /** What this tab waits for, or holds the lock by. */
  private current: Request | undefined;
  /** How often the browser has refused the lock since this tab last held it. */
  private refusals = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly name: string,
    private locks: Locks | undefined,
  ) {}

  get isExclusive() {
    return this.locks !== undefined;
  }

  /** Waits for its turn, which comes when the tab that holds the lock gives it up or
   * ends, and again after another has taken it. */
  request() {
    this.isWanted = true;
    if (!this.current) this.ask(false);
  }

  /** Takes the lock from the tab that holds it, whatever state that is in. Returns
   * whether this tab has to wait until it holds the lock. */
  take(): boolean {
    if (this.isHeld) return false;
    if (this.current?.steals) return true;
    this.drop();
    this.isWanted = true;
    this.ask(true);
    return !this.isHeld;
  }

  /** Lets a tab that is taking the lock have it, and waits for its turn. */
  yield() {
    if (!this.isExclusive || !(this.isHeld || this.current?.steals)) return;
    this.drop();
    this.ask(false);
  }

  release() {
    this.isWanted = false;
    this.drop();
  }

  private drop() {
    clearTimeout(this.retryTimer);
    this.current?.end();
    this.current = undefined;
    this.setHeld(false);
  }

  private ask(steals: boolean) {
    if (!this.locks) {
      this.current = { steals, end: () => {} };
      this.setHeld(true);
      return;
    }
    const abort = new AbortController();
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    const request: Request = {
      steals,
      end: () => {
        abort.abort();
        end();
      },
    };
    this.current = request;
    this.locks
      .request(this.name, steals ? { steal: true } : { signal: abort.signal }, () => {
        if (this.current !== request) return undefined; // it is not wanted any more
        this.refusals = 0;
        this.setHeld(true);
        return ended;
      })
      .catch((e: unknown) => {
        if (this.current !== request) return;
        this.drop();
        const code = e instanceof DOMException ? e.name : "";
        if (code !== "AbortError" && code !== "SecurityError" && ++this.refusals < maxRefusals) {
          console.warn("the browser has refused a lock", e);
          // In a page that is put aside this waits until that comes back.
          if (this.isWanted) this.retryTimer = setTimeout(() => this.request(), retryDelay);
          return;
        }
        if (code !== "AbortError") {
          console.warn("locks do not work: each tab sends what was written in it", e);
          this.locks = undefined;
        }
        if (this.isWanted) this.ask(false);
      });
  }

  private setHeld(isHeld: boolean) {
    if (this.isHeld === isHeld) return;
    this.isHeld = isHeld;
    this.onChange(isHeld);
  }
}
