import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vite";
import type { Build } from "./shell";

type Chunk = { file: string; isEntry?: boolean; css?: string[]; assets?: string[] };

const dist = resolve(import.meta.dirname, "../dist");

/** The page as it was built just now: the worker is built after it, and changes with it. */
function readBuild(): Build {
  const manifest = resolve(dist, "assets/manifest.json");
  if (!existsSync(manifest)) throw new Error("the service worker is built after the page: npm run build");
  const chunks = Object.values(JSON.parse(readFileSync(manifest, "utf8")) as Record<string, Chunk>);
  const files = [...new Set(chunks.flatMap((c) => [c.file, ...(c.css ?? []), ...(c.assets ?? [])]))].sort();
  const version = createHash("sha256")
    .update(readFileSync(resolve(dist, "index.html")))
    .update(files.join())
    .digest("hex");
  return { version: version.slice(0, 16), entry: chunks.find((c) => c.isEntry)!.file, files };
}

// A classic script under a fixed name: browsers take a worker of the whole page from its
// root alone, and not all of them take modules.
export default defineConfig({
  root: import.meta.dirname,
  publicDir: false,
  define: { BUILD: JSON.stringify(readBuild()) },
  build: {
    outDir: "../dist",
    emptyOutDir: false,
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      input: resolve(import.meta.dirname, "worker.ts"),
      output: { format: "iife", entryFileNames: "sw.js" },
    },
  },
});
