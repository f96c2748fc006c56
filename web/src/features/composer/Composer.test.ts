// @vitest-environment jsdom
import { expect, it } from "vitest";
import { isComposing, withoutControls } from "./Composer";

it("recognizes the Enter key of an input method", () => {
  expect(isComposing({ isComposing: true, keyCode: 13 })).toBe(true);
  expect(isComposing({ isComposing: false, keyCode: 229 })).toBe(true);
  expect(isComposing({ isComposing: false, keyCode: 13 })).toBe(false);
});

it("sends no control characters", () => {
  expect(withoutControls("a\x00b\x07c\x1b[31m\x7fd")).toBe("abc[31md");
  expect(withoutControls("title\vsubtitle\fnext")).toBe("title\nsubtitle\nnext");
  const kept = "\ttab\nline\r\nline \u0085 飛脚 👩‍👩‍👧";
  expect(withoutControls(kept)).toBe(kept);
});
