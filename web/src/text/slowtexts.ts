/** Texts that are made to be slow to show, for the test that counts the work and for
 * scripts/bench-markdown.mjs, which takes the time. */

/** The server's limit of a message, in bytes. */
const maxBytes = 16 << 10;

const pieces = ["*", "**", "_", "~~", "`", "``", "```", "[", "]", "(", ")", "](", "[a](b)", "[](", "<", ">", "> ", "- ", "1. ", "1) ", "# ", "|", "|-", "a|b", "\n", "\n\n", "    ", "  ", "\t", "\\", "\\\n", "&", "&amp;", "&#x41;", "http://a.bc", "<http://a.b>", "ftp://x", "://", "mailto:", "a@b.cd", "www.a.bc", "@", ".", ":", "/", "//", "a", "a b ", "飛", "「", "」", "שלום", "é", "e\u0301", "\u0301", "😀", "👨‍👩‍👧", "~~~", "---", "===", "-", "=", "+", "!", "![", '"', "'", "\u200b", "\u202e", "ﷺ"]; // prettier-ignore

const lines = (line: string) => line.repeat(Math.ceil(maxBytes / line.length));
const columns = "a|".repeat(60) + "\n" + "-|".repeat(60) + "\n";

/** Those that were slow once, or that would be with one of the limits gone. */
export const knownTexts = [
  columns + lines("|\n"),
  columns + lines("a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q|r|s|t|u|v|w|x|y|z\n"),
  lines("|") + "\n" + lines("-|"),
  Array.from({ length: 180 }, (_, i) => " ".repeat(2 * i) + "- a").join("\n"),
  lines("> "),
  lines("- "),
  lines("> - 1. "),
  lines("- a\n"),
  lines("a\n"),
  lines("\n"),
  lines("a\n\n"),
  lines("[a](b) "),
  lines("[a](http://b.cd) "),
  lines("http://a.bc "),
  lines("=http://a.bc//"),
  lines("www.a.bc "),
  lines("www."),
  lines("www.a"),
  lines("www.a-"),
  lines("www.a.bc/("),
  lines("a@b.cd "),
  lines("("),
  lines("["),
  lines("[]("),
  lines("[[]("),
  lines("*a "),
  lines("*a_ "),
  lines("**a*_ "),
  lines("*"),
  "**a ".repeat(2000) + " b**".repeat(2000),
  lines("`"),
  Array.from({ length: 170 }, (_, i) => "`".repeat(i) + "a").join(""),
  lines("&amp;\t"),
  lines("\\*"),
  lines("~~a~~"),
  lines("<"),
  lines("<a "),
  lines("e" + "\u0301".repeat(300)),
  lines("\u0301"),
  lines("aש"),
  lines("aあ"),
  lines("😀"),
  lines("👨‍👩‍👧"),
  lines("a"),
  lines("\u200b"),
  lines("\u202ea"),
  Array.from({ length: 5000 }, (_, i) => String.fromCodePoint(0x20000 + i)).join(""),
].map(withinLimit);

/** Returns a source of texts of 16 KiB; the same seed gives the same texts. */
export function randomTexts(seed: number): () => string {
  const next = (n: number) => ((seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) >>> 8) % n;
  const some = (most: number) => {
    let text = "";
    for (let i = next(most); i >= 0; i--) text += pieces[next(pieces.length)];
    return text;
  };
  const parts = [
    (a: string) => lines(a),
    (a: string) => a.repeat(maxBytes / 2 / a.length) + lines(some(3)),
    (a: string) => Array.from({ length: 200 }, (_, i) => a.repeat(i)).join("\n"),
    (a: string) => Array.from({ length: 3000 }, () => (next(2) ? a : some(2))).join(""),
  ];
  return () => withinLimit(some(3) + parts[next(parts.length)]!(some(4)));
}

/** Cuts a text to what a message may have. */
function withinLimit(text: string): string {
  const bytes = new TextEncoder().encode(text.slice(0, maxBytes)).subarray(0, maxBytes);
  return new TextDecoder().decode(bytes).replace(/\ufffd$/, "");
}
