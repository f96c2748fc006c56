import { expect, test } from "vitest";
import { formatClock, formatDate, formatNumber, formatShort, formatValue } from "./format";

test("numbers have the form that the binary gives them", () => {
  const cases: [number, string, string][] = [
    [0, "", "0"],
    [1234567, "", "1,234,567"],
    [-0.001, "", "0"],
    [Number.NaN, "", "–"],
    [12400.4, "/s", "12,400/s"],
    [3.14159, "ms", "3.14 ms"],
    [3.1, "ms", "3.1 ms"],
    [42.26, "ms", "42.3 ms"],
    [99.97, "ms", "100 ms"],
    [15031, "ms", "15 s"],
    [65, "s", "1 min 5 s"],
    [7384, "s", "2 h 3 min"],
    [99.98, "%", "99.98%"],
    [99.999, "%", "99.99%"],
    [5120, "B", "5.12 kB"],
  ];
  for (const [v, unit, want] of cases) expect(formatValue(v, unit)).toBe(want);
  expect(formatNumber(-1234.4)).toBe("-1,234");
});

test("run times, short numbers and dates", () => {
  expect([formatClock(5), formatClock(65.4), formatClock(3723)]).toEqual(["0:05", "1:05", "1:02:03"]);
  expect([formatShort(950), formatShort(20_000), formatShort(1_500_000)]).toEqual(["950", "20k", "1.5M"]);
  expect(formatDate("2026-11-24T12:03:00Z")).toBe("24 November 2026, 12:03 UTC");
});
