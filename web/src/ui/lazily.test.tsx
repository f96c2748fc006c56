// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import "../i18n";
import { lazily, loadAhead } from "./lazily";

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const Part = ({ text }: { text: string }) => <p>{text}</p>;

it("shows a part once it is loaded, and at once from then on", async () => {
  const load = vi.fn(async () => Part);
  const Lazy = lazily(load);
  const first = render(<Lazy text="here" />);
  expect(screen.queryByText("here")).toBeNull();
  await act(async () => {});
  expect(screen.queryByText("here")).not.toBeNull();
  first.unmount();
  render(<Lazy text="again" />);
  expect(screen.queryByText("again")).not.toBeNull();
  expect(load).toHaveBeenCalledTimes(1);
});

it("says when a part cannot be loaded, and tries again", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const load = vi.fn().mockRejectedValueOnce(new TypeError("offline")).mockResolvedValue(Part);
  const Lazy = lazily<{ text: string }>(load);
  render(
    <>
      <p>the rest</p>
      <Lazy text="here" />
    </>,
  );
  await act(async () => {});
  expect(screen.getByRole("alert").textContent).toContain("cannot be loaded");
  expect(screen.queryByText("the rest")).not.toBeNull();
  await act(async () => void fireEvent.click(screen.getByRole("button", { name: "Try again" })));
  expect(screen.queryByRole("alert")).toBeNull();
  expect(screen.queryByText("here")).not.toBeNull();
});

it("loads ahead what is not loaded yet, whatever fails", async () => {
  const fails = vi.fn(async () => Promise.reject(new TypeError("offline")));
  const load = vi.fn(async () => Part);
  lazily(fails);
  const Lazy = lazily(load);
  await loadAhead();
  await loadAhead();
  expect(fails).toHaveBeenCalledTimes(2);
  expect(load).toHaveBeenCalledTimes(1);
  render(<Lazy text="here" />);
  expect(screen.queryByText("here")).not.toBeNull();
});
