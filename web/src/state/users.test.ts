import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { User } from "../protocol/types";
import { setup } from "./fakeserver";
import { Users } from "./users";

function open() {
  const fixture = setup({ users: { known: { id: "known" } as User } });
  fixture.server.on("GET /users?ids=", (path) => ({
    items: path
      .split("=")[1]!
      .split(",")
      .map((id) => ({ id })),
  }));
  return { ...fixture, users: new Users(fixture.store, fixture.rest) };
}

describe("Users", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("loads unknown users together", async () => {
    const { users, server, store } = open();
    for (const id of ["a", "b", "a", "known"]) users.show(id);
    await vi.advanceTimersByTimeAsync(20);
    expect(server.requests).toEqual(["GET /users?ids=a,b"]);
    expect(Object.keys(store.getState().users)).toEqual(["known", "a", "b"]);
  });

  it("loads more than the server looks up at once in several requests", async () => {
    const { users, server, store } = open();
    for (let i = 0; i < 450; i++) users.show("u" + i);
    await vi.advanceTimersByTimeAsync(60);
    expect(server.requests).toHaveLength(3);
    expect(Object.keys(store.getState().users)).toHaveLength(451);
  });

  it("loads a user after a failure when asked again", async () => {
    const { users, server } = open();
    server.on("GET /users", () => new Response("{}", { status: 503 }));
    users.show("a");
    await vi.advanceTimersByTimeAsync(20);
    users.show("a");
    await vi.advanceTimersByTimeAsync(20);
    expect(server.requests).toHaveLength(2);
  });

  it("asks again for what is shown: when it is old and shown anew, and now and then", async () => {
    const { users, server } = open();
    const hide = users.show("known");
    users.show("known");
    await vi.advanceTimersByTimeAsync(59_999);
    users.show("known");
    users.refresh();
    await vi.advanceTimersByTimeAsync(20);
    expect(server.requests).toEqual([]);
    users.show("known");
    users.show("known");
    await vi.advanceTimersByTimeAsync(20);
    expect(server.requests).toEqual(["GET /users?ids=known"]);
    users.show("other");
    await vi.advanceTimersByTimeAsync(20);
    users.refresh();
    users.refresh(); // too soon
    await vi.advanceTimersByTimeAsync(20);
    expect(server.requests.slice(1)).toEqual(["GET /users?ids=other", "GET /users?ids=known,other"]);
    hide();
  });

  it("asks for nobody who is not shown any more, nor while the page is hidden", async () => {
    const { users, server } = open();
    let isVisible = false;
    users.keepFresh(() => isVisible);
    users.show("known")();
    users.show("a");
    await vi.advanceTimersByTimeAsync(300_000);
    expect(server.requests).toEqual(["GET /users?ids=a"]);
    isVisible = true;
    await vi.advanceTimersByTimeAsync(300_020);
    expect(server.requests).toEqual(["GET /users?ids=a", "GET /users?ids=a"]);
    users.stop();
  });

  it("does not replace what it was told later than it asked", async () => {
    const { users, store } = open();
    const answers: ((u: User[]) => void)[] = [];
    const ask = () => users.addFrom(new Promise<User[]>((resolve) => answers.push(resolve)), (a) => a);
    const named = (display_name: string) => ({ id: "known", display_name }) as User;
    const known = () => store.getState().users.known!.display_name;
    const [first, second, third] = [ask(), ask(), ask()];
    answers[0]!([named("first")]);
    await first;
    answers[2]!([named("third")]);
    await third;
    expect(known()).toBe("third");
    answers[1]!([named("second")]);
    await second;
    expect(known()).toBe("third");
    const fourth = ask();
    store.setState({ users: { known: named("pushed") } });
    answers[3]!([named("fourth")]);
    await fourth;
    expect(known()).toBe("pushed");
  });

  it("finds users by name, and knows them from then on", async () => {
    const { users, server, store } = open();
    server.on("GET /users?limit=100&q=b%C3%A9", () => ({ items: [{ id: "b" }] }));
    expect((await users.find("bé")).items).toEqual([{ id: "b" }]);
    expect(store.getState().users.b).toEqual({ id: "b" });
  });
});
