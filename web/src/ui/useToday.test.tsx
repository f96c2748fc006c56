// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useToday } from "./useToday";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const at = (day: number, hour: number, minute = 0) => new Date(2026, 5, day, hour, minute).getTime();

it("is another day at midnight", () => {
  vi.setSystemTime(at(1, 23, 59));
  const { result } = renderHook(useToday);
  expect(result.current).toBe(at(1, 0));
  act(() => void vi.advanceTimersByTime(60_000));
  expect(result.current).toBe(at(2, 0));
});

it("is the right day after sleep, and when the page is seen again", () => {
  vi.setSystemTime(at(1, 12));
  const { result } = renderHook(useToday);
  // The timer has a minute left when the device wakes up.
  vi.setSystemTime(at(3, 8));
  act(() => void vi.advanceTimersByTime(60_000));
  expect(result.current).toBe(at(3, 0));
  vi.setSystemTime(at(5, 8));
  act(() => void document.dispatchEvent(new Event("visibilitychange")));
  expect(result.current).toBe(at(5, 0));
});
