// For tests: what simulations are made of.

/** Returns a source of numbers from 0 up to n that is the same in each run. */
export function randomFrom(seed: number) {
  let a = seed;
  return (n: number) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** Events are done in the order of their time. */
export class Events {
  private readonly heap: { at: number; order: number; run: () => void }[] = [];
  private order = 0;

  add(at: number, run: () => void) {
    const { heap } = this;
    const e = { at, order: this.order++, run };
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(e, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = e;
  }

  next() {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (!last || last === first) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }) {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
