import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import "../../i18n";
import { Problem } from "../../net/rest";
import { useApp } from "../../state/app";
import * as push from "../../state/push";
import { Notifications } from "./Notifications";

vi.mock("../../state/push", async (original) => ({
  ...(await original<typeof push>()),
  lookAtPush: vi.fn(async () => {}),
  switchPushOn: vi.fn(async () => {}),
  switchPushOff: vi.fn(async () => {}),
}));

beforeEach(() => useApp.setState({ me: { id: "aki" } as never }));
afterEach(() => {
  cleanup();
  vi.clearAllMocks();
});

const show = (state: push.PushState) => {
  push.usePush.setState({ state });
  render(<Notifications />);
  return screen.queryByRole<HTMLInputElement>("switch", { name: "Notify me on this device" });
};

it("shows nothing where the installation does not push", () => {
  expect(show("hidden")).toBeNull();
  expect(push.lookAtPush).toHaveBeenCalledWith("aki");
});

it("switches on and off", async () => {
  const off = show("off")!;
  expect(off.checked).toBe(false);
  fireEvent.click(off);
  fireEvent.click(off); // too early
  expect(push.switchPushOn).toHaveBeenCalledExactlyOnceWith("aki");
  await waitFor(() => expect(off.ariaBusy).toBe("false"));
  cleanup();
  const on = show("on")!;
  expect(on.checked).toBe(true);
  fireEvent.click(on);
  expect(push.switchPushOff).toHaveBeenCalledOnce();
  await waitFor(() => expect(on.ariaBusy).toBe("false"));
});

it.each([
  ["denied", "blocks"],
  ["unsupported", "does not take"],
] as const)("says why it cannot be switched: %s", (state, words) => {
  const s = show(state)!;
  expect(s.disabled).toBe(true);
  expect(document.getElementById(s.getAttribute("aria-describedby")!)!.textContent).toContain(words);
});

it("says what went wrong", async () => {
  vi.mocked(push.switchPushOn).mockRejectedValueOnce(new Problem(0, "push", "no service"));
  fireEvent.click(show("off")!);
  expect((await screen.findByRole("alert")).textContent).toContain("no service");
});
