import { expect, it } from "vitest";
import { formatDateTime, formatTime } from "./time";

const at = (hour: number) => new Date(2026, 5, 1, hour, 32).getTime();
const plain = (text: string) => text.replace(/\s/g, " "); // between time and PM stands a narrow one

it.each([
  [7, "en", "7:32 AM"],
  [19, "en", "7:32 PM"],
  [0, "en", "12:32 AM"],
  [7, "ja", "7:32"],
  [19, "ja", "19:32"],
])("writes the time of day as the language does: %i h, %s", (hour, language, text) => {
  expect(plain(formatTime(at(hour), language))).toBe(text);
  expect(plain(formatDateTime(at(hour), language))).toMatch(new RegExp(`(^| )${text}$`));
});
