// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { loadLanguage, setLanguage, type Language } from "../i18n";
import { afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import "../i18n";
import { initialState, useApp, type AppState } from "../state/app";
import { ClientContext } from "../state/context";
import { StatusBanner } from "./StatusBanner";

beforeAll(() => loadLanguage("ja"));

const client = { reconnectNow: vi.fn() };
const said = () => screen.getByRole("status").textContent;
const set = (s: Partial<AppState>) => act(() => useApp.setState(s));

beforeEach(async () => {
  vi.useFakeTimers();
  setLanguage("en");
  useApp.setState({ ...initialState, ready: true, connection: "open" });
  render(
    <ClientContext value={client as never}>
      <StatusBanner />
    </ClientContext>,
  );
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.clearAllMocks();
});

it("says nothing of a connection that is back at once", () => {
  set({ connection: "waiting" });
  act(() => vi.advanceTimersByTime(1199));
  set({ connection: "open" });
  act(() => vi.advanceTimersByTime(5000));
  expect(said()).toBe("");
  expect(screen.queryByRole("button")).toBeNull();
});

it("says at once that there is no network, unless the server answers", () => {
  set({ hasNetwork: false });
  expect(said()).toBe("");
  set({ doubtful: true });
  expect(said()).toBe("You are offline. What you write is kept and sent later.");
  set({ doubtful: false });
  expect(said()).toBe("");
});

it("counts down to the next try, and tries at once when asked to", () => {
  set({ connection: "waiting", retryAt: Date.now() + 8000 });
  act(() => vi.advanceTimersByTime(1200));
  expect(said()).toBe("Connection lost. What you write is kept and sent later.");
  expect(screen.getByText("Next try in 7 s.")).toBeTruthy();
  act(() => vi.advanceTimersByTime(4000));
  expect(screen.getByText("Next try in 3 s.")).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Try now" }));
  expect(client.reconnectNow).toHaveBeenCalledOnce();
  set({ connection: "connecting" });
  expect(screen.getByText("Reconnecting…")).toBeTruthy();
});

it("gives the focus back when the button goes away", () => {
  const input = document.createElement("input");
  document.body.append(input);
  const loseAndPress = () => {
    set({ connection: "waiting" });
    act(() => vi.advanceTimersByTime(1200));
    const button = screen.getByRole("button", { name: "Try now" });
    act(() => button.focus());
    fireEvent.click(button);
  };
  input.focus();
  loseAndPress();
  set({ connection: "open" });
  expect(document.activeElement).toBe(input);
  loseAndPress();
  input.remove(); // meanwhile
  set({ connection: "open" });
  expect(document.activeElement).toBe(screen.getByRole("status"));
  act(() => (document.activeElement as HTMLElement).blur());
  // Nothing is taken from where the person has gone.
  loseAndPress();
  document.body.append(input);
  act(() => input.focus());
  set({ connection: "open" });
  expect(document.activeElement).toBe(input);
  input.remove();
});

it.each<[Language, string, string]>([
  ["en", "lost when this page closes", "kept"],
  ["ja", "閉じると失われます", "保管"],
])("does not promise to keep what the browser cannot: %s", async (language, says, saysNot) => {
  act(() => setLanguage(language));
  set({ storageFailed: true });
  expect(screen.getAllByRole("status")).toHaveLength(1);
  set({ connection: "waiting" });
  act(() => vi.advanceTimersByTime(1200));
  expect(screen.getAllByRole("status")).toHaveLength(1);
  expect(said()).toContain(says);
  expect(said()).not.toContain(saysNot);
});
