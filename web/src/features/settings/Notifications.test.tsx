// @vitest-environment jsdom
import { cleanup, configure, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import "../../i18n";
import { Problem } from "../../net/rest";
import { useApp } from "../../state/app";
import { ClientContext } from "../../state/context";
import { usePush, type PushState } from "../../state/push";
import { Notifications } from "./Notifications";

configure({ asyncUtilTimeout: 30_000 });

const push = {
  refreshState: vi.fn(async () => {}),
  enable: vi.fn(async () => {}),
  disable: vi.fn(async () => {}),
};

beforeEach(() => useApp.setState({ me: { id: "aki" } as never }));
afterEach(() => {
  cleanup();
  vi.clearAllMocks();
});

const show = (state: PushState) => {
  usePush.setState({ state });
  render(
    <ClientContext value={{ push } as never}>
      <Notifications />
    </ClientContext>,
  );
  return screen.queryByRole<HTMLInputElement>("switch", { name: "Notify me on this device" });
};

it("shows nothing where the installation does not push", () => {
  expect(show("hidden")).toBeNull();
  expect(push.refreshState).toHaveBeenCalledWith("aki");
});

it("switches on and off", async () => {
  const off = show("off")!;
  expect(off.checked).toBe(false);
  fireEvent.click(off);
  fireEvent.click(off); // ignored while busy
  expect(push.enable).toHaveBeenCalledExactlyOnceWith("aki");
  await waitFor(() => expect(off.ariaBusy).toBe("false"));
  cleanup();
  const on = show("on")!;
  expect(on.checked).toBe(true);
  fireEvent.click(on);
  expect(push.disable).toHaveBeenCalledOnce();
  await waitFor(() => expect(on.ariaBusy).toBe("false"));
});

it.each([
  ["denied", "blocks"],
  ["unsupported", "does not take"],
] as const)("explains why it is unavailable: %s", (state, words) => {
  const s = show(state)!;
  expect(s.disabled).toBe(true);
  expect(document.getElementById(s.getAttribute("aria-describedby")!)!.textContent).toContain(words);
});

it("shows what went wrong", async () => {
  push.enable.mockRejectedValueOnce(new Problem(0, "push", "no service"));
  fireEvent.click(show("off")!);
  expect((await screen.findByRole("alert")).textContent).toBe(
    "The browser could not subscribe to notifications.",
  );
});
