// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import "../i18n";
import { Client } from "../state/client";
import { useApp, initialState } from "../state/app";
import { ClientContext } from "../state/context";
import { FakeServer } from "../state/fakeserver";
import { keep, user, withClients } from "../state/testclient";
import { navigate } from "../state/route";
import type * as Controls from "../ui/controls";
import { ChatScreen } from "./ChatScreen";

/** What has rendered: of list rows their picture, of messages their text. */
const rendered = vi.hoisted(() => ({ list: [] as string[], messages: [] as string[] }));
vi.mock("../ui/controls", async (original) => {
  const controls = await original<typeof Controls>();
  const Avatar = (p: Parameters<typeof controls.Avatar>[0]) => {
    if (p.size === 40) rendered.list.push(p.id);
    return controls.Avatar(p);
  };
  return { ...controls, Avatar };
});
vi.mock("../text/markdown", () => ({
  renderMarkdown: (body: string) => {
    rendered.messages.push(body);
    return body;
  },
}));

const total = 300;
/** Ids grow with time; the last conversation is the one with the latest activity. */
const idOf = (i: number) => String(1000 + i);
const messageOf = (i: number, seq: number) => ({
  id: idOf(i) + "-" + seq,
  client_id: idOf(i) + "-" + seq,
  conversation: idOf(i),
  ...{ sender: "2", seq, rev: seq, at: 1000 * i + seq, body: `message ${seq} of ${i}` },
});
const summaryOf = (i: number) => ({
  ...{
    id: idOf(i),
    kind: "group",
    title: `Group ${i}`,
    role: "member",
    members: 2,
    members_rev: 0,
    created_at: 0,
  },
  ...{ seq: 3, rev: 3, unread: 0, read: 3, active_at: 1000 * i + 3, last: messageOf(i, 3) },
});
const opened = total - 1;

const rowHeight = 58;
const screenHeight = 10 * rowHeight;

/** Gives elements a size: jsdom has no layout. */
function layOut() {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(private readonly tell: (entries: object[]) => void) {}
      observe(target: Element) {
        const height = target.matches("nav, [data-timeline]") ? screenHeight : rowHeight;
        queueMicrotask(() => this.tell([{ target, contentRect: { height, width: 300 } }]));
      }
      unobserve() {}
      disconnect() {}
    },
  );
  vi.spyOn(HTMLElement.prototype, "offsetParent", "get").mockReturnValue(document.body);
  vi.spyOn(HTMLElement.prototype, "offsetHeight", "get").mockReturnValue(rowHeight);
  vi.spyOn(Element.prototype, "clientHeight", "get").mockReturnValue(screenHeight);
  Element.prototype.scrollTo ??= () => {};
  Element.prototype.scrollBy ??= () => {};
  Element.prototype.scrollIntoView ??= () => {};
}

async function openPage() {
  const server = new FakeServer();
  server.on("GET /installation", () => ({ registration: "open" }));
  server.on("GET /me", () => ({ user, session: "s1" }));
  server.on("GET /users", () => ({ items: [{ id: "2", name: "ben", display_name: "Ben" }] }));
  server.on(`GET /conversations/${idOf(opened)}/messages`, () => ({
    items: [1, 2, 3].map((seq) => messageOf(opened, seq)),
    ...{ rev: 3, has_before: false, has_after: false },
  }));
  const client = new Client(useApp, server.dial);
  keep(client);
  await client.start();
  navigate("/c/" + idOf(opened));
  server.hello();
  const { id } = server.socket.sentOf("sync")[0] as { id: string };
  let changes = 0;
  const end = useApp.subscribe((s, before) => void (s.conversations !== before.conversations && changes++));
  server.socket.receive({
    t: "synced",
    ...{
      id,
      conversations: Array.from({ length: total }, (_, i) => summaryOf(i)),
      gone: [],
      failed: [],
      cursor: "1",
      more: false,
    },
  });
  end();
  await act(async () => {
    render(
      <ClientContext value={client}>
        <ChatScreen />
      </ClientContext>,
    );
  });
  await act(async () => void (await import("./timeline/ConversationView"))); // is loaded lazily
  await act(() => vi.advanceTimersByTimeAsync(1000));
  const list = screen.getByRole("navigation", { name: "Conversations" });
  return { server, changes, list };
}

describe("the page with many conversations", () => {
  withClients();
  beforeEach(() => {
    layOut();
    useApp.setState(initialState, true);
    rendered.list = [];
    rendered.messages = [];
  });
  afterEach(() => {
    cleanup();
    navigate("/");
  });

  it("changes its state once for a page of the list, and has the rows in view in the document", async () => {
    const { changes, list } = await openPage();
    expect(changes).toBe(1);
    const rows = [...list.querySelectorAll("li")];
    expect(rows.length).toBeGreaterThanOrEqual(10);
    expect(rows.length).toBeLessThan(25);
    rows.forEach((row, i) => {
      expect(row.getAttribute("aria-posinset")).toBe(String(i + 1));
      expect(row.getAttribute("aria-setsize")).toBe(String(total));
    });
  });

  it.each([
    ["the first conversation", opened, [idOf(opened)], ["message 4 of 299"]],
    ["one further down", opened - 5, [idOf(opened - 5)], []],
    ["one out of view", 7, [idOf(7)], []],
  ])("renders what an arriving message changes: %s", async (_, i, list, messages) => {
    const { server } = await openPage();
    rendered.list = [];
    rendered.messages = [];
    await act(async () => server.socket.receive({ t: "message", ...messageOf(i, 4), at: 1e9 }));
    expect(rendered).toEqual({ list, messages });
    expect(document.querySelector("nav li")?.textContent).toContain(`message 4 of ${i}`);
  });

  it("moves through the list by keys, of which the tab key reaches one row", async () => {
    const { server, list } = await openPage();
    const tabbable = () => [...list.querySelectorAll<HTMLElement>('a[tabindex="0"]')].map((a) => a.dataset.conversation); // prettier-ignore
    const press = (key: string) => act(async () => void fireEvent.keyDown(document.activeElement!, { key }));
    const focused = () => (document.activeElement as HTMLElement).dataset.conversation;
    expect(tabbable()).toEqual([idOf(opened)]);
    await act(async () => list.querySelector<HTMLElement>('a[tabindex="0"]')!.focus());
    for (const [key, to] of [
      ["ArrowUp", opened],
      ["ArrowDown", opened - 1],
      ["PageDown", opened - 10],
      ["End", 0],
      ["ArrowDown", 0],
      ["ArrowUp", 1],
      ["PageUp", 10],
      ["Home", opened],
    ] as const) {
      await press(key);
      expect(focused(), key).toBe(idOf(to));
      expect(tabbable()).toEqual([idOf(to)]);
    }
    // It keeps the focus when another conversation comes before it.
    await press("ArrowDown");
    await act(async () => server.socket.receive({ t: "message", ...messageOf(7, 4), at: 1e9 }));
    expect(focused()).toBe(idOf(opened - 1));
    expect(document.activeElement!.closest("li")!.getAttribute("aria-posinset")).toBe("3");
  });
});
