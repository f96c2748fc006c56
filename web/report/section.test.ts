import { expect, test } from "vitest";
import { h } from "./dom";
import { grid } from "./table";

test("texts of a run stay text", () => {
  const bad = `<img src=x onerror="document.title='bad'">`;
  const e = h("div", {}, grid(["", bad], [[bad, bad]], bad), bad);
  expect(e.querySelector("img")).toBeNull();
  expect(e.textContent).toBe(bad.repeat(4));
});
