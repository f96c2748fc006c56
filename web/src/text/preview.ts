import type { Token } from "markdown-it";
import { firstCharacters, withoutPiledMarks } from "./characters";
import { parse } from "./parse";

/** How much of a message is looked at for its preview, in UTF-16 units. */
const maxSource = 1000;

/** Returns the beginning of a message on one line, without its Markdown: at most
 * `count` characters as people see them. */
export function previewOf(body: string, count = 140): string {
  const source = withoutPiledMarks(body.slice(0, maxSource));
  const tokens = parse(source);
  const text = tokens ? tokens.map(textOf).join(" ") : source;
  return firstCharacters(text.trim().replace(/\s+/g, " "), count);
}

function textOf(t: Token): string {
  if (t.children) return t.children.map(textOf).join("");
  return t.type === "softbreak" || t.type === "hardbreak" ? " " : t.content;
}
