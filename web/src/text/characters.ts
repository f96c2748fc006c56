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

/** Returns the first characters of a text, as people count them, with an ellipsis
 * when there are more. */
export function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
  for (const { index } of segmenter.segment(text)) {
    if (count-- === 0) return text.slice(0, index) + "…";
  }
  return text;
}
