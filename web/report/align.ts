import type { Line } from "./types";

/** Of a column, null breaks the line; undefined is where only other lines have a point. */
export type Value = number | null | undefined;
export type Columns = [number[], ...Value[][]];

/** Puts lines with points of their own over one row of x. */
export function align(lines: Line[]): Columns {
  const rows = new Map<number, Value[]>();
  const set = (x: number, line: number, y: number | null) => {
    let row = rows.get(x);
    if (!row) {
      row = new Array<Value>(lines.length).fill(undefined);
      rows.set(x, row);
    }
    row[line] = y;
  };
  lines.forEach((l, i) => {
    let before: number | undefined;
    (l.x ?? []).forEach((x, at) => {
      const y = l.y?.[at];
      if (y === undefined) return;
      if (before !== undefined && l.gap > 0 && x - before > l.gap) set((before + x) / 2, i, null);
      set(x, i, y);
      before = x;
    });
  });
  const xs = [...rows.keys()].sort((a, b) => a - b);
  return [xs, ...lines.map((_, i) => xs.map((x) => rows.get(x)?.[i]))];
}

/** The value of a column nearest to a place, at most so many rows away. */
export function near(column: Value[], at: number, most = 3): number | undefined {
  for (let distance = 0; distance <= most; distance++) {
    const v = column[at - distance] ?? column[at + distance];
    if (v !== null && v !== undefined) return v;
  }
  return undefined;
}
