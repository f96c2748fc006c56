// Writes the page's protocol types from the API's own descriptions.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const header = "// Made by `make generate` from the Go types. Do not edit.\n\n";

async function write(document, path) {
  const ast = await openapiTS(document, { alphabetize: true });
  await writeFile(path, header + astToString(ast));
}

const openapi = JSON.parse(await readFile("spec/openapi.json", "utf8"));
await write(openapi, "src/protocol/api.d.ts");

// AsyncAPI's schemas are JSON Schema, as OpenAPI's are; the same tool reads
// them when they stand in an OpenAPI document.
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
