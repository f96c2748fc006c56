// Generates the types of the pages from the API descriptions of the binary.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const header = "// Made by `make generate` from the Go types. Do not edit.\n\n";

async function write(document, path) {
  const ast = await openapiTS(document, { alphabetize: true });
  await writeFile(path, header + astToString(ast));
}

const openapi = JSON.parse(await readFile("spec/openapi.json", "utf8"));
await write(openapi, "src/protocol/api.d.ts");

// The schemas of AsyncAPI are JSON Schema, as those of OpenAPI are: the same tool
// reads them from within an OpenAPI document.
const asyncapi = JSON.parse(await readFile("spec/asyncapi.json", "utf8"));
await write(
  {
    openapi: "3.1.0",
    info: asyncapi.info,
    paths: {},
    components: { schemas: asyncapi.components.schemas },
  },
  "src/protocol/frames.d.ts",
);

// The types of the load tool's reports.
const bench = (await readFile("spec/bench.json", "utf8")).replaceAll("#/$defs/", "#/components/schemas/");
await write(
  {
    openapi: "3.1.0",
    info: { title: JSON.parse(bench).title, version: "1" },
    paths: {},
    components: { schemas: JSON.parse(bench).$defs },
  },
  "src/protocol/bench.d.ts",
);
