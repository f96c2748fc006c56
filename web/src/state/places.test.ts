// @vitest-environment jsdom
import { afterEach, expect, it, vi } from "vitest";
import { clearPlaces, getListPlace, getPlace, maxPlaces, setListPlace, setPlace } from "./places";

afterEach(() => {
  vi.restoreAllMocks();
  sessionStorage.clear();
});

const anchor = { seq: 7, offset: -12 };

it("keeps where the user was, for each conversation and account", () => {
  setPlace("a", "c1", { anchor });
  setPlace("a", "c2", { skipped: { from: 3, count: 9 } });
  expect(getPlace("a", "c1")).toEqual({ anchor });
  expect(getPlace("a", "c2")).toEqual({ skipped: { from: 3, count: 9 } });
  expect(getPlace("b", "c1")).toBeUndefined();
  setPlace("a", "c1", {});
  expect(getPlace("a", "c1")).toBeUndefined();
  clearPlaces();
  expect(getPlace("a", "c2")).toBeUndefined();
});

it("keeps where the list of an account was", () => {
  const place = { conversation: "c1", offset: 12 };
  setListPlace("a", place);
  expect(getListPlace("a")).toMatchObject(place);
  expect(getListPlace("b")).toBeUndefined();
  setListPlace("a", undefined);
  expect(getListPlace("a")).toBeUndefined();
  setListPlace("a", place);
  clearPlaces();
  expect(getListPlace("a")).toBeUndefined();
});

it("keeps those that were left last", () => {
  for (let i = 0; i < maxPlaces; i++) setPlace("a", "c" + i, { anchor });
  setPlace("a", "c0", { anchor });
  setPlace("a", "new", { anchor });
  expect(getPlace("a", "c0")).toEqual({ anchor });
  expect(getPlace("a", "c1")).toBeUndefined();
  expect(getPlace("a", "new")).toEqual({ anchor });
});

it("does without a storage that fails or that has something else", () => {
  sessionStorage.setItem("hikyaku-places", "{");
  expect(getPlace("a", "c")).toBeUndefined();
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new Error("no room");
  });
  setPlace("a", "c", { anchor });
  expect(getPlace("a", "c")).toBeUndefined();
});
