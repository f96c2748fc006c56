/** Keeps what was made of texts, up to so many characters in all; then it begins anew. */
export class TextCache {
  private readonly entries = new Map<string, string>();
  private length = 0;

  constructor(private readonly maxLength: number) {}

  /** Returns what is kept for a text, or else makes it. */
  get(text: string, make: () => string): string {
    const kept = this.entries.get(text);
    if (kept !== undefined) return kept;
    const made = make();
    const added = text.length + made.length;
    if (this.length + added > this.maxLength) {
      this.entries.clear();
      this.length = 0;
    }
    this.length += added;
    this.entries.set(text, made);
    return made;
  }
}
