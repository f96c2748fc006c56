/** Timers are the timeouts of one owner, who clears them all at its end. */
export class Timers {
  private readonly pending = new Set<ReturnType<typeof setTimeout>>();

  /** Calls f after ms milliseconds, unless the timers are cleared before. */
  after(ms: number, f: () => void) {
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      f();
    }, ms);
    this.pending.add(timer);
  }

  clear() {
    for (const timer of this.pending) clearTimeout(timer);
    this.pending.clear();
  }
}
