import { expect, test } from "vitest";
import { align, nearestValue } from "./align";
import { heatColor, heatCellAt } from "./heat";
import { extent, increments, logTicks } from "./scale";
import { compareRatio } from "./table";
import type { Cell, Chart, Line } from "./types";

const line = (x: number[], y: number[], gap = 0): Line => ({
  name: "a",
  choice: "",
  tone: 0,
  dash: "",
  marks: false,
  gap,
  x,
  y,
});

const chart = (c: Partial<Chart>): Chart => ({
  name: "c",
  title: "C",
  note: "",
  x: { label: "x", unit: "", log: false },
  y: { label: "y", unit: "ms", log: false },
  lines: [],
  choices: null,
  limits: null,
  spans: null,
  ...c,
});

test("lines with different x values are aligned to common ones", () => {
  expect(align([line([1, 3], [10, 30]), line([2, 3], [5, 6])])).toEqual([
    [1, 2, 3],
    [10, undefined, 30],
    [undefined, 5, 6],
  ]);
});

test("a line is interrupted where its points are too far apart, and only there", () => {
  expect(align([line([1, 2, 10], [1, 2, 3], 4), line([1, 10], [7, 8])])).toEqual([
    [1, 2, 6, 10],
    [1, 2, null, 3],
    [7, undefined, undefined, 8],
  ]);
});

test("the nearest value is found a few rows away, not farther", () => {
  const column = [1, undefined, undefined, undefined, undefined, null, undefined];
  expect([
    nearestValue(column, 0),
    nearestValue(column, 2),
    nearestValue(column, 3),
    nearestValue(column, 4),
  ]).toEqual([1, 1, 1, undefined]);
});

test("the range of an axis contains all values", () => {
  const limits = [{ of_x: false, value: 170, label: "", published: false }];
  const linear = chart({ lines: [line([10, 20], [3, 100])], limits });
  expect(extent(linear, "x")).toEqual({ min: 0, max: 20 });
  expect(extent(linear, "y").min).toBe(0);
  expect(extent(linear, "y").max).toBeGreaterThan(170);
  const log = chart({ lines: [line([10, 20], [0, 100])], y: { label: "", unit: "ms", log: true } });
  expect(extent(log, "y").min).toBeGreaterThan(50); // a logarithmic axis cannot show 0
  expect(extent(chart({}), "y")).toEqual({ min: 0, max: 1 });
  const many = Array.from({ length: 300_000 }, (_, i) => i);
  expect(extent(chart({ lines: [line(many, many)] }), "x").max).toBe(299_999);
});

test("a logarithmic axis has as many ticks as fit", () => {
  expect(logTicks(0.8, 60, 10)).toEqual([1, 2, 5, 10, 20, 50]);
  expect(logTicks(0.8, 2000, 7)).toEqual([1, 3, 10, 30, 100, 300, 1000]);
  expect(logTicks(0.8, 2000, 5)).toEqual([1, 10, 100, 1000]);
  expect(increments({ label: "", unit: "", log: false })[0]).toBe(1); // messages are whole
});

test("a cell of a heat map is found, an empty one is not", () => {
  const heat = { from: [0, 1], to: [1, 2], bounds: [1, 2, 4], shares: [[0.25, 0.75], [1, 0]] }; // prettier-ignore
  expect(heatCellAt(heat, 0.5, 3)).toEqual({ from: 2, to: 4, share: 0.75 });
  expect([heatCellAt(heat, 1.5, 3), heatCellAt(heat, 5, 3), heatCellAt(heat, 0.5, 99)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(heatColor(0, "light")).not.toBe(heatColor(0.05, "light"));
  expect(heatColor(2, "light")).toBe(heatColor(1, "light"));
});

test("only a significant difference is called better or worse", () => {
  const cell = (c: Partial<Cell>): Cell => ({
    runs: 3,
    median: 1,
    min: 1,
    max: 1,
    spread: 0,
    ratio: 2,
    doubt: "",
    of_published: 0,
    ...c,
  });
  expect(compareRatio(cell({}), "higher")).toBe("better");
  expect(compareRatio(cell({}), "lower")).toBe("worse");
  expect(compareRatio(cell({ ratio: 0.5 }), "lower")).toBe("better");
  expect(compareRatio(cell({ doubt: "within" }), "higher")).toBe("");
  expect(compareRatio(cell({ doubt: "unknown" }), "higher")).toBe("");
  expect(compareRatio(cell({ ratio: 0 }), "higher")).toBe("");
});
