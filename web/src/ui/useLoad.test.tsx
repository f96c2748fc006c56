// @vitest-environment jsdom
import { act, renderHook } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { useLoad } from "./useLoad";

function setup() {
  const answers: ((s: string) => void)[] = [];
  const ask = () => new Promise<string>((resolve) => answers.push(resolve));
  const hook = renderHook(({ version }) => useLoad(ask, "", version), { initialProps: { version: 1 } });
  const answer = (i: number, s: string) => act(async () => answers[i]!(s));
  return {
    ...hook,
    answers,
    answer,
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
});
