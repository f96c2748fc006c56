// @vitest-environment jsdom
import { act, renderHook } from "@testing-library/react";
import { expect, it } from "vitest";
import { Problem, type Page } from "../net/rest";
import { useApp } from "../state/app";
import { usePages } from "./usePages";

/** A list of the numbers from a first one on, ten to a page; its answers wait. */
function setup() {
  const waiting: (() => void)[] = [];
  const asked: string[] = [];
  let total = 35;
  const listFrom = (first: number) => (cursor: string) => {
    asked.push(`${first} ${cursor}`);
    const from = Number(cursor || first);
    const items = Array.from({ length: Math.max(0, Math.min(10, first + total - from)) }, (_, i) => from + i);
    const page = { items, ...(from + 10 < first + total && { next: String(from + 10) }) };
    return new Promise<Page<number>>((resolve) => waiting.push(() => resolve(page)));
  };
  const initialProps = { ask: listFrom(0), version: 1 };
  const hook = renderHook(({ ask, version }) => usePages(ask, version), { initialProps });
  const answer = (i = 0) => act(async () => waiting.splice(i, 1)[0]!());
  const more = () => act(async () => hook.result.current.more());
  return { hook, asked, answer, more, listFrom, initialProps, shown: () => hook.result.current, setTotal: (n: number) => (total = n) }; // prettier-ignore
}

it("loads a page after the other, each once", async () => {
  const { asked, answer, more, shown } = setup();
  expect(shown()).toMatchObject({ items: [], loaded: false });
  await answer();
  expect(shown()).toMatchObject({ loaded: true, hasMore: true });
  expect(shown().items).toHaveLength(10);
  for (const count of [20, 30, 35]) {
    await more();
    await more();
    await answer();
    expect(shown().items).toHaveLength(count);
  }
  expect(shown().hasMore).toBe(false);
  await more();
  expect(asked).toEqual(["0 ", "0 10", "0 20", "0 30"]);
  expect(shown().items).toEqual(Array.from({ length: 35 }, (_, i) => i));
});

it("shows no answer to what was asked before another question", async () => {
  const { hook, answer, more, listFrom, shown } = setup();
  await answer();
  await more();
  hook.rerender({ ask: listFrom(1000), version: 1 });
  await answer(1);
  await answer(0); // the next page of the list before
  expect(shown().items).toEqual([1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009]);
  await more();
  await answer();
  expect(shown().items.at(-1)).toBe(1019);
});

it("loads as many again as are shown when the version changes, and with reload", async () => {
  const { hook, asked, answer, more, initialProps, shown, setTotal } = setup();
  await answer();
  await more();
  await answer();
  asked.length = 0;
  setTotal(17);
  hook.rerender({ ...initialProps, version: 2 });
  expect(shown().items).toHaveLength(20); // until it is there
  await answer();
  await answer();
  expect(shown()).toMatchObject({ hasMore: false });
  expect(shown().items).toHaveLength(17);
  let done = false;
  await act(async () => void shown().reload().then(() => (done = true))); // prettier-ignore
  await answer();
  await answer();
  expect(done).toBe(true);
  expect(asked).toEqual(["0 ", "0 10", "0 ", "0 10"]);
});

it("says when a page cannot be loaded, and asks again once there is a connection", async () => {
  useApp.setState({ connection: "waiting" });
  let asked = 0;
  let works = false;
  const ask = () => {
    asked++;
    return works
      ? Promise.resolve<Page<number>>({ items: [1, 2] })
      : Promise.reject(new Problem(503, "unavailable", "no"));
  };
  const { result } = renderHook(() => usePages(ask));
  await act(async () => {});
  expect(result.current.error).not.toBe("");
  expect([asked, result.current.loaded]).toEqual([1, false]);
  works = true;
  await act(async () => useApp.setState({ connection: "open" }));
  expect(result.current).toMatchObject({ error: "", loaded: true, items: [1, 2] });
  expect(asked).toBe(2);
});
