// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { setLanguage, type Language } from "../i18n";
import { Problem } from "../net/rest";
import { useTask } from "./useTask";

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
  expect(result.current.error).toBe("This name, or one that looks like it, is taken.");
});

it.each<[Language, string]>([
  ["en", "Something went wrong on the server."],
  ["ja", "サーバーで問題が起きました。"],
])("shows any other error too, and logs it: %s", async (language, text) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  setLanguage(language);
  const { result } = renderHook(useTask);
  const error = new TypeError("defect");
  await act(async () => expect(await result.current.run(() => Promise.reject(error))).toBe(false));
  expect(result.current).toMatchObject({ busy: false, field: "", error: text });
  expect(log).toHaveBeenCalledWith(error);
});
