// Every refusal is told in the reader's language.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { en } from "./en";
import { ja } from "./ja";

const root = join(import.meta.dirname, "../../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

type Schema = { enum?: string[]; properties?: Record<string, Schema> };
const schemas = (path: string) =>
  Object.values(
    (JSON.parse(read(path)) as { components: { schemas: Record<string, Schema> } }).components.schemas,
  );

/** The codes that the descriptions of the API and of the socket protocol name. */
const described = ["web/spec/openapi.json", "web/spec/asyncapi.json"]
  .flatMap(schemas)
  .flatMap((s) => s.properties?.code?.enum ?? []);

/** Those of the page itself. */
const own = ["offline", "push", "unconfirmed", "defect"];

/** What refusals of the server are about, as [code, field]. */
const sources = readdirSync(join(root, "internal"), { recursive: true, encoding: "utf8" }).filter(
  (f) => f.endsWith(".go") && !f.endsWith("_test.go"),
);
const refusals = sources.flatMap((f) =>
  [...read(join("internal", f)).matchAll(/\bRefuse\((?:chat\.)?Code(\w+), "(\w+)"/g)].map(
    (m): [string, string] => [m[1]!.replace(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase(), m[2]!],
  ),
);
/** Fields that nobody fills in on the page: it makes the values itself. */
const notFilledIn = new Set(
  "id ids kind reply_to cursor position batch endpoint p256dh users.name_taken conversations.too_large".split(
    " ",
  ),
);

const tables: [string, Record<string, string>][] = [
  ["en", en],
  ["ja", ja],
];

describe.each(tables)("%s", (_, texts) => {
  it("has a sentence for each code", () => {
    expect(described).toContain("name_taken");
    expect(described).toContain("in_flight");
    for (const code of new Set([...described, ...own])) expect(texts, code).toHaveProperty("code_" + code);
  });

  it("has a sentence for each value that is refused", () => {
    expect(refusals).toContainEqual(["forbidden", "old"]);
    expect(refusals).toContainEqual(["name_taken", "name"]);
    const asked = refusals.filter(([c, f]) => !notFilledIn.has(f) && !notFilledIn.has(`${f}.${c}`));
    // One sentence is enough where a code is about one field only.
    const precise = asked.filter(([c]) => !["name_taken", "conflict", "weak_password"].includes(c));
    for (const [code, field] of precise) expect(texts).toHaveProperty(`code_${code}_${field}`);
  });

  it("passes on nothing that the server or the browser words", () => {
    for (const [key, text] of Object.entries(texts))
      if (key.startsWith("code_")) expect(text, key).not.toMatch(/\{\{(?!seconds\}\})/);
  });
});

it("says it in Japanese where the page is Japanese", () => {
  for (const [key, text] of Object.entries(ja))
    if (key.startsWith("code_")) expect(text, key).toMatch(/[\u3040-\u30ff]/);
});
