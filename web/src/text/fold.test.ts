import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { fold, foldQuery } from "./fold";

// The server is tested with the same ones.
const file = new URL("../../../internal/textfold/testdata/names.json", import.meta.url);
type Case = { query: string; name: string };
const { found, notFound } = JSON.parse(readFileSync(file, "utf8")) as Record<"found" | "notFound", Case[]>;

it.each(found)("$query finds $name", ({ query, name }) => {
  expect(fold(name)).toContain(foldQuery(query));
});

it.each(notFound)("$query does not find $name", ({ query, name }) => {
  expect(fold(name)).not.toContain(foldQuery(query));
});
