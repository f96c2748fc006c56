import { describe, expect, it } from "vitest";
import { firstCharacters, isVisible } from "./characters";
import { previewOf } from "./preview";

describe("previews", () => {
  it.each([
    ["Hello **Ben**, see `make`", "Hello Ben, see make"],
    ["# Title\n\n- one\n- two", "Title one two"],
    ["a\nb  \n\n> c", "a b c"],
    ["|a|b|\n|-|-|\n|c|d|", "a b c d"],
    ["```js\nx < y\n```", "x < y"],
    ["[docs](https://example.org)", "docs"],
    ["2 * 3 * 4 = snake_case_name", "2 * 3 * 4 = snake_case_name"],
    ["**重要（必読）**です", "重要（必読）です"],
    ["[mika]: ok", "[mika]: ok"],
    ["&nbsp;", "&nbsp;"],
    ["", ""],
  ])("has no Markdown: %j", (body, text) => {
    expect(previewOf(body)).toBe(text);
  });

  it("ends between two characters", () => {
    const family = "👨‍👩‍👧";
    expect(previewOf(family.repeat(9), 3)).toBe(family.repeat(3) + "…");
    expect(previewOf("e\u0301".repeat(4), 4)).toBe("e\u0301".repeat(4));
    expect(previewOf("🇯🇵🇩🇪", 1)).toBe("🇯🇵…");
    expect(previewOf("x".repeat(16_000), 140)).toHaveLength(141);
    expect(firstCharacters("abc", 0)).toBe("…");
  });
});

it.each(["\u200b", " \u2060\n", "\u3164", "\u2800", "\u00ad", "\ufe0f", "\u202e", "", " \u3000"])(
  "nothing is seen of %j",
  (text) => expect(isVisible(text)).toBe(false),
);
it.each(["a", "飛", "\u0301", "😀", "\u200ba", "-", "\u0600"])("%j is seen", (text) =>
  expect(isVisible(text)).toBe(true),
);
