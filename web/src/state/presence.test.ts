import { expect, it } from "vitest";
import type { ClientFrame, Summary } from "../protocol/types";
import { createAppStore } from "./fakeserver";
import { Presence } from "./presence";

function open() {
  const peer = (id: string) => ({ id, peer: { id } }) as Summary;
  const store = createAppStore({ conversations: { "3": peer("3"), "1": peer("1") } });
  const sent: ClientFrame[] = [];
  const connection = { open: true };
  const page = { hidden: false };
  const send = (f: ClientFrame) => connection.open && sent.push(f) > 0;
  const presence = new Presence(store, send, () => page.hidden);
  return { store, sent, connection, presence, page, peer };
}

it("watches the peers of direct conversations and the members in view, each once", () => {
  const { presence, sent } = open();
  presence.watch();
  presence.setVisibleMembers(["2", "3"]);
  presence.setVisibleMembers([]);
  expect(sent).toEqual([
    { t: "watch", users: ["1", "3"] },
    { t: "watch", users: ["1", "2", "3"] },
    { t: "watch", users: ["1", "3"] },
  ]);
});

it("watches the one whose card is shown", () => {
  const { presence, sent } = open();
  presence.showPerson("9");
  presence.showPerson("1");
  presence.showPerson(null);
  expect(sent).toEqual([
    { t: "watch", users: ["1", "3", "9"] },
    { t: "watch", users: ["1", "3"] },
  ]);
});

it("sends only changes, and everything on a new connection", () => {
  const { presence, sent, connection, store, peer } = open();
  presence.watch();
  presence.watch();
  expect(sent).toHaveLength(1);
  connection.open = false;
  store.setState((s) => ({ conversations: { ...s.conversations, "5": peer("5") } }));
  presence.watch();
  connection.open = true;
  presence.connected();
  expect(sent.slice(1)).toEqual([{ t: "watch", users: ["1", "3", "5"] }]);
});

it("watches no more users than the server allows", () => {
  const { presence, sent } = open();
  presence.setVisibleMembers(Array.from({ length: 600 }, (_, i) => "m" + i));
  expect(sent[0]).toMatchObject({ t: "watch" });
  expect((sent[0] as { users: string[] }).users).toHaveLength(500);
});

it("reports the user as away", () => {
  const { presence, sent } = open();
  presence.setAway(true);
  expect(sent).toEqual([{ t: "status", away: true }]);
});

it("reports again on each connection that nobody is looking", () => {
  const { presence, sent, connection, page } = open();
  // The page was hidden while there was no connection.
  connection.open = false;
  page.hidden = true;
  presence.setAway(true);
  connection.open = true;
  presence.connected();
  expect(sent[0]).toEqual({ t: "status", away: true });
  page.hidden = false;
  sent.length = 0;
  presence.connected(); // a connection is not away by itself
  expect(sent.map((f) => f.t)).toEqual(["watch"]);
});

it("watches the peers of the latest conversations where they are too many", () => {
  const { presence, sent, store, peer } = open();
  const many = Array.from({ length: 600 }, (_, i) => ({ ...peer(String(1000 + i)), active_at: i }));
  store.setState({ conversations: Object.fromEntries(many.map((c) => [c.id, c])) });
  presence.setVisibleMembers(["7"]);
  const { users } = sent[0] as { users: string[] };
  expect(users).toHaveLength(500);
  expect(users).toContain("7");
  expect(users).toContain("1599");
  expect(users).not.toContain("1099");
});
