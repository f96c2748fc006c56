/** Reports whether a text shows anything at all. The server refuses a message that
 * does not (`chat.IsBlank`). */
export function isVisible(text: string): boolean {
  return /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]/u.test(text);
}

/** Returns the text with no more than eight combining marks in a row. No script
 * needs as many; hundreds of them would cover the messages around. */
export function withoutPiledMarks(text: string): string {
  return text.replace(/(\p{M}{8})\p{M}+/gu, "$1");
}

let segmenter: Intl.Segmenter | undefined;
const characters = (text: string) =>
  (segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" })).segment(text);

/** Returns the first characters of a text, as people count them, with an ellipsis
 * when there are more. */
export function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  for (const { index } of characters(text)) {
    if (count-- === 0) return text.slice(0, index) + "…";
  }
  return text;
}

/** Returns what stands for a name where there is room for one character, as people count
 * them: "?" for a name that shows nothing. */
export function initialOf(name: string): string {
  // As long as one with all its marks can be, or a family of emoji.
  for (const { segment } of characters(withoutPiledMarks(name.trim().slice(0, 64)))) {
    if (!isVisible(segment)) continue;
    const capital = segment.toUpperCase();
    return [...capital].length > [...segment].length ? segment : capital; // ß has none
  }
  return "?";
}
