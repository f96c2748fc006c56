import { expect, it } from "vitest";
import type { ClientFrame, Summary } from "../protocol/types";
import { createAppStore } from "./fakeserver";
import { Presence } from "./presence";

function open() {
  const peer = (id: string) => ({ id, peer: { id } }) as Summary;
  const store = createAppStore({ conversations: { "3": peer("3"), "1": peer("1") } });
  const sent: ClientFrame[] = [];
  const connection = { open: true };
  const presence = new Presence(store, (f) => connection.open && sent.push(f) > 0);
  return { store, sent, connection, presence, peer };
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
