// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeAll, expect, it, vi } from "vitest";
import { loadLanguage, setLanguage, type Language } from "../i18n";
import { Problem } from "../net/rest";
import { useTask } from "./useTask";

beforeAll(() => loadLanguage("ja"));

afterEach(async () => {
  cleanup();
  vi.restoreAllMocks();
  setLanguage("en");
});

it("translates a Problem", async () => {
  const { result } = renderHook(useTask);
  const refuse = () => Promise.reject(new Problem(409, "name_taken", "taken", "name"));
  await act(async () => expect(await result.current.run(refuse)).toBe(false));
  expect(result.current).toMatchObject({ busy: false, field: "name" });
  expect(result.current.error).toBe(
    "This name, or one that looks like it or differs in accents alone, is taken.",
  );
});

it("follows the language of the reader, and says nothing of the server's English", async () => {
  const { result } = renderHook(useTask);
  const refuse = () => Promise.reject(new Problem(403, "forbidden", "the old password is wrong", "old"));
  await act(async () => void (await result.current.run(refuse)));
  expect(result.current.error).toBe("The current password is wrong.");
  await act(async () => setLanguage("ja"));
  expect(result.current.error).toBe("現在のパスワードが違います。");
  act(() => result.current.clear());
  expect(result.current).toMatchObject({ error: "", field: "" });
});

it.each<[Language, string]>([
  ["en", "Something went wrong on this page. Reload it."],
  ["ja", "このページで問題が起きました。再読み込みしてください。"],
])("shows any other error too, and logs it: %s", async (language, text) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  setLanguage(language);
  const { result } = renderHook(useTask);
  const error = new TypeError("defect");
  await act(async () => expect(await result.current.run(() => Promise.reject(error))).toBe(false));
  expect(result.current).toMatchObject({ busy: false, field: "", error: text });
  expect(log).toHaveBeenCalledWith(error);
});
