// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { actionOf, shortcuts, type Keys, type Part } from "./shortcuts";

const press = (key: string, rest: Partial<Keys> = {}): Keys => ({
  ...{ key, code: "", shiftKey: false, altKey: false, ctrlKey: false, metaKey: false },
  ...rest,
});

describe("actionOf", () => {
  it.each([
    ["a letter", "messages", press("r"), "reply"],
    ["a letter with caps lock", "messages", press("R"), "reply"],
    ["a letter with Shift", "messages", press("R", { shiftKey: true }), undefined],
    ["the browser's own copying", "messages", press("c", { ctrlKey: true }), undefined],
    ["a letter on a Russian keyboard", "messages", press("к", { code: "KeyR" }), "reply"],
    ["a letter on a keyboard with kana", "messages", press("す", { code: "KeyR" }), "reply"],
    ["another letter at the place of R", "messages", press("p", { code: "KeyR" }), undefined],
    ["a menu key", "messages", press("F10", { shiftKey: true }), "menu"],
    ["the same key alone", "messages", press("F10"), undefined],
    ["a sign that needs Shift", "page", press("?", { shiftKey: true }), "showShortcuts"],
    ["a sign that does not", "page", press("?"), "showShortcuts"],
    ["Control", "page", press("k", { ctrlKey: true }), "switch"],
    ["Control and Alt", "page", press("k", { ctrlKey: true, altKey: true }), undefined],
    ["no Control", "page", press("k"), undefined],
    ["Enter", "composer", press("Enter"), "send"],
    ["Enter with Shift", "composer", press("Enter", { shiftKey: true }), "newLine"],
    ["a key of another part", "composer", press("r"), undefined],
  ] as [string, Part, Keys, string | undefined][])("%s", (_, where, e, action) => {
    expect(actionOf(where, e)).toBe(action);
  });
});

it("has each key once in each part", () => {
  for (const { shortcuts: lines } of Object.values(shortcuts)) {
    const keys = lines.flatMap((s) => Object.keys(s.keys));
    expect(new Set(keys).size).toBe(keys.length);
  }
});
