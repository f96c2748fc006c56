import type { Token } from "markdown-it";
import { TextCache } from "./cache";
import { firstCharacters, withoutPiledMarks } from "./characters";
import { parse } from "./parse";

/** How much of a message is looked at for its preview, in UTF-16 units. */
const maxSource = 1000;

const cache = new TextCache(1_000_000);

/** Returns the beginning of a message on one line, without its Markdown: at most
 * `count` characters as people see them. */
export function previewOf(body: string, count = 140): string {
  const beginning = body.slice(0, maxSource);
  const text = cache.get(beginning, () => {
    const source = withoutPiledMarks(beginning);
    const shown = parse(source)?.map(textOf).join(" ") ?? source;
    return shown.trim().replace(/\s+/g, " ");
  });
  return firstCharacters(text, count);
}

function textOf(t: Token): string {
  if (t.children) return t.children.map(textOf).join("");
  return t.type === "softbreak" || t.type === "hardbreak" ? " " : t.content;
}
