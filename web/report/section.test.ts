// @vitest-environment jsdom
import { expect, test } from "vitest";
import { h } from "./dom";
import { dataTable } from "./table";

test("strings of a run become text, not HTML", () => {
  const bad = `<img src=x onerror="document.title='bad'">`;
  const e = h("div", {}, dataTable(["", bad], [[bad, bad]], bad), bad);
  expect(e.querySelector("img")).toBeNull();
  expect(e.textContent).toBe(bad.repeat(4));
});
