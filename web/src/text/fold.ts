const toHiragana = 0x3041 - 0x30a1; // ぁ, ァ

/** Marks that people leave out when they type a name; those that make other syllables of
 * kana are none. Those of Indic and other scripts are vowels. */
const diacritics = /(?![\u3099\u309a])(?=\p{Mn})[\p{Script=Inherited}\p{Script=Hebrew}\p{Script=Arabic}]/gu;

/** The folded letters whose mark is a part of them for Unicode. */
const plainLetters: Record<string, string> = {
  ...{ ı: "i", ø: "o", ł: "l", đ: "d", ð: "d", ħ: "h", ŧ: "t", ŋ: "n", æ: "ae", œ: "oe", þ: "th" },
  ς: "σ",
};

/** Returns the form of a name that search compares, as the server does (internal/textfold):
 * without case, diacritics and the widths of characters; katakana are hiragana. */
export function fold(name: string): string {
  // There and back: ß has no other case, but SS has one.
  const lower = name.normalize("NFKC").toUpperCase().toLowerCase();
  return lower
    .normalize("NFKC")
    .normalize("NFKD")
    .replace(diacritics, "")
    .replace(/[ıøłđðħŧŋæœþς]/g, (c) => plainLetters[c]!)
    .replace(/[ァ-ヶ]/g, (c) => String.fromCharCode(c.charCodeAt(0) + toHiragana))
    .normalize("NFKC");
}

/** Returns the folded form of what somebody types to find a name: without the space around
 * it, and the @ or # that are written before names but are no part of them. */
export function foldQuery(text: string): string {
  return fold(text)
    .trim()
    .replace(/^[@#]+/, "")
    .trim();
}
