/** DraftStorage keeps the drafts on the device; it may fail at any time. */
export type DraftStorage = {
  draft(conversation: string): Promise<string>;
  saveDraft(conversation: string, text: string): Promise<void>;
};

/** DraftMessage tells the other tabs of a draft. */
export type DraftMessage = { t: "draft"; conversation: string; draft: Draft };

/** A text, and when it was written by the clock that all tabs of the browser share. */
type Draft = { text: string; at: number };

/** Drafts are the same in all tabs of an account: what was written last. */
export class Drafts {
  /** By conversation, what was written in any tab since this one was opened. */
  private readonly written = new Map<string, Draft>();
  private readonly listeners = new Set<(conversation: string, text: string) => void>();

  constructor(
    private readonly storage: DraftStorage,
    private readonly post: (m: DraftMessage) => void = () => {},
  ) {}

  async get(conversation: string): Promise<string> {
    const stored = await this.storage.draft(conversation).catch((e) => {
      console.warn("a draft cannot be loaded", e);
      return "";
    });
    return this.written.get(conversation)?.text ?? stored;
  }

  /** Keeps what the person has written here. */
  save(conversation: string, text: string) {
    const at = Math.max(Date.now(), (this.written.get(conversation)?.at ?? 0) + 1);
    const draft = { text, at };
    this.written.set(conversation, draft);
    this.post({ t: "draft", conversation, draft });
    this.storage.saveDraft(conversation, text).catch((e) => console.warn("a draft cannot be saved", e));
  }

  /** Tells the other tabs what was written, for one that was opened just now. */
  tell() {
    for (const [conversation, draft] of this.written) this.post({ t: "draft", conversation, draft });
  }

  /** Another tab has a draft. */
  receive({ conversation, draft }: DraftMessage) {
    const own = this.written.get(conversation);
    if (own && (own.at > draft.at || (own.at === draft.at && own.text >= draft.text))) return;
    this.written.set(conversation, draft);
    for (const f of this.listeners) f(conversation, draft.text);
  }

  /** Calls f with each draft that another tab has changed; returns what ends that. */
  onChange(f: (conversation: string, text: string) => void): () => void {
    this.listeners.add(f);
    return () => void this.listeners.delete(f);
  }
}
