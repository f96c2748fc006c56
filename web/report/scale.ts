import type { Axis, Chart } from "./types";

export interface Range {
  min: number;
  max: number;
}

/** Returns the range of an axis that shows all values of a chart. */
export function extent(chart: Chart, which: "x" | "y"): Range {
  const axis = chart[which];
  const values = (chart.lines ?? []).flatMap((l) => l[which] ?? []);
  for (const l of chart.limits ?? []) if (l.of_x === (which === "x")) values.push(l.value);
  const { heat } = chart;
  const edges = heat ? (which === "x" ? [heat.from, heat.to] : [heat.bounds]) : [];
  values.push(...edges.flatMap((e) => e ?? []));
  const range = rangeOf(values, axis, which, chart.heat !== undefined);
  // The labels of steps are above the lines.
  if (which === "y" && (chart.spans ?? []).length > 0) range.max *= axis.log ? 1.6 : 1.1;
  return range;
}

function rangeOf(values: number[], axis: Axis, which: "x" | "y", exact: boolean): Range {
  const usable = values.filter((v) => Number.isFinite(v) && (!axis.log || v > 0));
  if (usable.length === 0) return axis.log ? { min: 1, max: 10 } : { min: 0, max: 1 };
  // Not Math.min(...usable): a call takes only so many arguments.
  const min = usable.reduce((a, b) => Math.min(a, b));
  const max = usable.reduce((a, b) => Math.max(a, b));
  if (exact) return { min, max };
  if (axis.log) return { min: min / 1.25, max: max * 1.25 };
  if (which === "y") return { min: 0, max: max > 0 ? max * 1.08 : 1 };
  return { min: Math.min(0, min), max };
}

/** Returns the ticks of a logarithmic axis, at most limit of them if possible. */
export function logTicks(min: number, max: number, limit: number): number[] {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++) {
      for (const step of steps) {
        const v = Number((step * 10 ** power).toPrecision(6));
        if (v >= min && v <= max) ticks.push(v);
      }
    }
    if (ticks.length <= limit || steps.length === 1) return ticks;
  }
  return [];
}

/** Returns the possible distances of ticks on a linear axis. */
export function increments(axis: Axis): number[] {
  if (axis.unit === "s") {
    const minutes = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
    return [1, 2, 5, 10, 15, 30, ...minutes];
  }
  const steps: number[] = [];
  for (let power = axis.unit === "" ? 0 : -3; power < 10; power++)
    for (const step of [1, 2, 5]) steps.push(step * 10 ** power);
  return steps;
}
