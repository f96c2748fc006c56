// What a browser loads of the built page, compressed as the server sends it.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";

type Chunk = { file: string; src?: string; isEntry?: boolean; imports?: string[]; css?: string[] };

const dist = resolve(import.meta.dirname, "../dist");
const sizeOf = (file: string) => gzipSync(readFileSync(resolve(dist, file)), { level: 9 }).length;
const manifest = JSON.parse(readFileSync(resolve(dist, "assets/manifest.json"), "utf8")) as Record<
  string,
  Chunk
>;

/** The files of chunks, and of what these import before they run. */
function filesOf(...keys: string[]): Set<string> {
  const files = new Set<string>();
  const add = (key: string) => {
    const { file, css = [], imports = [] } = manifest[key]!;
    if (files.has(file)) return;
    for (const f of [file, ...css]) files.add(f);
    imports.forEach(add);
  };
  keys.forEach(add);
  return files;
}

const totalOf = (files: Iterable<string>) => [...files].reduce((n, f) => n + sizeOf(f), 0);

it("loads little before the list of conversations is shown", () => {
  expect(totalOf(["index.html", ...filesOf("index.html")])).toBeLessThan(120_000);
});

it("loads the other screens when they are needed", () => {
  const first = filesOf("index.html");
  for (const screen of [
    "src/features/admin/Administration.tsx",
    "src/features/auth/AuthScreen.tsx",
    "src/features/members/MembersPanel.tsx",
    "src/features/settings/SettingsDialog.tsx",
    "src/features/timeline/ConversationView.tsx",
    "src/ui/OpenMenu.tsx",
  ])
    expect(first).not.toContain(manifest[screen]!.file);
});

it("loads no more than needed for a conversation", () => {
  const shown = filesOf("index.html", "src/features/timeline/ConversationView.tsx");
  expect(totalOf(["index.html", ...shown])).toBeLessThan(245_000);
});
