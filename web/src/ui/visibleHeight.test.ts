// @vitest-environment jsdom
import { expect, it, vi } from "vitest";
import { followVisibleHeight } from "./visibleHeight";

it("gives the page what a keyboard leaves, unless the user has zoomed in", () => {
  const visual = Object.assign(new EventTarget(), { height: 800, scale: 1 });
  const scrollTo = vi.fn();
  followVisibleHeight({ visualViewport: visual, innerHeight: 800, document, scrollTo } as unknown as Window);
  const becomes = (height: number, scale: number) => {
    Object.assign(visual, { height, scale }).dispatchEvent(new Event("resize"));
    return document.documentElement.style.getPropertyValue("--visible-height");
  };
  expect(becomes(420, 1)).toBe("420px");
  expect(scrollTo).toHaveBeenCalledWith(0, 0);
  expect(becomes(800, 1)).toBe("");
  expect(becomes(400, 2)).toBe("");
});
