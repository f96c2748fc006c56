import { expect, it } from "vitest";
import { initialOf } from "./characters";

it.each([
  ["mika", "M"],
  [" ben ", "B"],
  ["e\u0301va", "E\u0301"],
  ["飛脚", "飛"],
  ["か\u3099く", "か\u3099"],
  ["שלום", "ש"],
  ["नि", "नि"],
  ["กำ", "กำ"],
  ["👩‍👩‍👧 family", "👩‍👩‍👧"],
  ["🇯🇵", "🇯🇵"],
  ["𠮷野", "𠮷"],
  ["ßeta", "ß"],
  ["\u200bz", "Z"],
  ["e" + "\u0301".repeat(300), "E" + "\u0301".repeat(8)],
  ["", "?"],
  ["\u200b", "?"],
])("takes the first character of %j as people count them", (name, initial) => {
  expect(initialOf(name)).toBe(initial);
});
