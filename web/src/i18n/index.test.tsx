// @vitest-environment jsdom
import { act, renderHook } from "@testing-library/react";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { en } from "./en";
import { loadLanguage, setLanguage, useTranslation } from ".";
import { ja } from "./ja";

beforeAll(() => loadLanguage("ja"));

afterEach(() => setLanguage("en"));

describe("useTranslation", () => {
  it("puts names and numbers into a text, and chooses the plural of the language", () => {
    setLanguage("en");
    const { result } = renderHook(useTranslation);
    const { t } = result.current;
    expect(t("lastSeen", { when: "today" })).toBe("Last seen today");
    expect([0, 1, 2].map((count) => t("members", { count }))).toEqual(["0 members", "1 member", "2 members"]);
    // What a person is called is not looked at again.
    expect(t("typing", { count: 1, names: "{{count}} $& <b>" })).toBe("{{count}} $& <b> is typing…");
  });

  it("has a default for what the server may say and the page does not know", () => {
    const { t } = renderHook(useTranslation).result.current;
    expect(t("code_rate_limited_password", { seconds: 3, defaultValue: "?" })).toContain("in 3 s");
    expect(t("code_from_the_future", { defaultValue: "{{odd}}" })).toBe("{{odd}}");
    expect(t("code_from_the_future", { defaultValue: "" })).toBe("");
  });

  it("follows the language, and is the same while that is", () => {
    const { result, rerender } = renderHook(useTranslation);
    const before = result.current;
    rerender();
    expect(result.current).toBe(before);
    act(() => setLanguage("ja"));
    expect(result.current.t("login")).toBe(ja.login);
    expect(result.current.t("members", { count: 1 })).toBe("メンバー 1 人");
    expect(result.current.i18n.language).toBe("ja");
    expect(document.documentElement.lang).toBe("ja");
  });

  it("has values for the same names in both languages", () => {
    const namesIn = (text: string) => [...new Set(text.match(/\{\{\w+\}\}/g))].sort();
    for (const key of Object.keys(en) as (keyof typeof en)[])
      if (!key.endsWith("_one")) expect(namesIn(ja[key]), key).toEqual(namesIn(en[key]));
  });
});
