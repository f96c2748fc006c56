import { expect, test } from "vitest";
import { clock, date, number, short, write } from "./figure";

test("numbers are written as the binary writes them", () => {
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
  for (const [v, unit, want] of cases) expect(write(v, unit)).toBe(want);
  expect(number(-1234.4)).toBe("-1,234");
});

test("a clock, short figures and dates", () => {
  expect([clock(5), clock(65.4), clock(3723)]).toEqual(["0:05", "1:05", "1:02:03"]);
  expect([short(950), short(20_000), short(1_500_000)]).toEqual(["950", "20k", "1.5M"]);
  expect(date("2026-11-24T12:03:00Z")).toBe("24 November 2026, 12:03 UTC");
});
