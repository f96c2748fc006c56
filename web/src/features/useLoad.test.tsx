// @vitest-environment jsdom
import { act, renderHook } from "@testing-library/react";
import { beforeEach, describe, expect, it } from "vitest";
import "../i18n";
import { Problem } from "../net/rest";
import { initialState, useApp } from "../state/app";
import { useLoad } from "./useLoad";

beforeEach(() => useApp.setState(initialState));

function setup() {
  const answers: ((s: string) => void)[] = [];
  const refusals: ((e: Problem) => void)[] = [];
  const ask = () =>
    new Promise<string>((resolve, reject) => {
      answers.push(resolve);
      refusals.push(reject);
    });
  const hook = renderHook(({ version }) => useLoad(ask, "", version), { initialProps: { version: 1 } });
  const answer = (i: number, s: string) => act(async () => answers[i]!(s));
  const refuse = (i: number, code: string) => act(async () => refusals[i]!(new Problem(0, code, "")));
  return {
    ...hook,
    answers,
    answer,
    refuse,
    error: () => hook.result.current[2],
    shown: () => hook.result.current[0],
    again: () => hook.result.current[1](),
  };
}

describe("useLoad", () => {
  it("shows the answer to the latest question, whatever order they come in", async () => {
    const { answer, shown, again } = setup();
    void again();
    await answer(1, "later");
    await answer(0, "earlier");
    expect(shown()).toBe("later");
    void again();
    void again();
    await answer(2, "third");
    expect(shown()).toBe("third");
    await answer(3, "fourth");
    expect(shown()).toBe("fourth");
  });

  it("loads again when the version changes, and heeds no earlier answer then", async () => {
    const { answer, answers, shown, rerender } = setup();
    rerender({ version: 2 });
    expect(answers).toHaveLength(2);
    await answer(0, "of version 1");
    expect(shown()).toBe("");
    await answer(1, "of version 2");
    expect(shown()).toBe("of version 2");
  });

  it("says what went wrong, keeps what was shown, and asks again when there is a connection", async () => {
    const { answer, answers, refuse, shown, error, rerender } = setup();
    await answer(0, "before");
    rerender({ version: 2 });
    await refuse(1, "offline");
    expect([shown(), error()]).toEqual(["before", "The server cannot be reached."]);
    act(() => useApp.setState({ connection: "open" }));
    expect(answers).toHaveLength(3);
    await answer(2, "after");
    expect([shown(), error()]).toEqual(["after", ""]);
    act(() => useApp.setState({ connection: "waiting" }));
    act(() => useApp.setState({ connection: "open" }));
    expect(answers).toHaveLength(3);
  });

  it("does not ask again at once what was refused", async () => {
    const { answers, refuse, error } = setup();
    act(() => useApp.setState({ connection: "open" }));
    await refuse(0, "forbidden");
    expect(error()).toBe("You may not do that.");
    expect(answers).toHaveLength(1);
  });
});
