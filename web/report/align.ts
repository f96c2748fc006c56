import type { Line } from "./types";

/** A value of a column: null interrupts the line, undefined is where only other lines have a point. */
export type Value = number | null | undefined;
export type Columns = [number[], ...Value[][]];

/** Aligns lines with different x values to common x values, as uPlot needs them. */
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
    let previous: number | undefined;
    (l.x ?? []).forEach((x, index) => {
      const y = l.y?.[index];
      if (y === undefined) return;
      if (previous !== undefined && l.gap > 0 && x - previous > l.gap) set((previous + x) / 2, i, null);
      set(x, i, y);
      previous = x;
    });
  });
  const xs = [...rows.keys()].sort((a, b) => a - b);
  return [xs, ...lines.map((_, i) => xs.map((x) => rows.get(x)?.[i]))];
}

/** Returns the value nearest to a row of a column, at most maxDistance rows away. */
export function nearestValue(column: Value[], index: number, maxDistance = 3): number | undefined {
  for (let distance = 0; distance <= maxDistance; distance++) {
    const v = column[index - distance] ?? column[index + distance];
    if (v !== null && v !== undefined) return v;
  }
  return undefined;
}
