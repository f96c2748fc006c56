/** Draft is what the person has begun to write in a conversation. */
export type Draft = {
  text: string;
  /** The message that it answers, with what was to be seen of it then. */
  replyTo?: { seq: number; sender: string; body: string };
  /** A message that is being edited, with its new text; the rest waits meanwhile. */
  edit?: { seq: number; text: string };
};

export const emptyDraft: Draft = { text: "" };

function isEmpty(d: Draft): boolean {
  return d.text === "" && !d.replyTo && !d.edit;
}

/** By conversation; those that are empty are not in it. */
export type DraftTable = Record<string, Draft>;

/** DraftStorage keeps the drafts on the device; it may fail at any time. */
export type DraftStorage = {
  drafts(): Promise<DraftTable>;
  /** Keeps a draft, or deletes it where it is undefined. */
  saveDraft(conversation: string, draft: Draft | undefined): Promise<void>;
};

/** DraftMessage tells the other tabs of a draft. */
export type DraftMessage = { t: "draft"; conversation: string; draft: WrittenDraft };

/** A draft, and when it was written by the clock that all tabs of the browser share. */
type WrittenDraft = Draft & { at: number };

/** Drafts are the same in all tabs of an account: what was written last. */
export class Drafts {
  /** By conversation, what was written in any tab since this one was opened. */
  private readonly written = new Map<string, WrittenDraft>();
  private table: DraftTable = {};

  constructor(
    private readonly storage: DraftStorage,
    /** Told of all drafts whenever one of them changes. */
    private readonly onChange: (all: DraftTable) => void,
    private readonly post: (m: DraftMessage) => void = () => {},
  ) {}

  /** Reads what the device has kept. What was written meanwhile is later than that. */
  async load() {
    const stored = await this.storage.drafts().catch((e) => {
      console.warn("the drafts cannot be loaded", e);
      return {};
    });
    this.table = { ...stored };
    for (const [conversation, draft] of this.written) this.put(conversation, draft);
    this.onChange(this.table);
  }

  get(conversation: string): Draft {
    return this.table[conversation] ?? emptyDraft;
  }

  /** Keeps what the person has written here. */
  save(conversation: string, draft: Draft) {
    const at = Math.max(Date.now(), (this.written.get(conversation)?.at ?? 0) + 1);
    const written = { ...draft, at };
    this.set(conversation, written);
    this.post({ t: "draft", conversation, draft: written });
    this.storage
      .saveDraft(conversation, isEmpty(draft) ? undefined : draft)
      .catch((e) => console.warn("a draft cannot be saved", e));
  }

  /** Tells the other tabs what was written, for one that was opened just now. */
  tell() {
    for (const [conversation, draft] of this.written) this.post({ t: "draft", conversation, draft });
  }

  /** Another tab has a draft. */
  receive({ conversation, draft }: DraftMessage) {
    const own = this.written.get(conversation);
    if (own && (own.at > draft.at || (own.at === draft.at && JSON.stringify(own) >= JSON.stringify(draft))))
      return;
    this.set(conversation, draft);
  }

  private set(conversation: string, draft: WrittenDraft) {
    this.written.set(conversation, draft);
    this.table = { ...this.table };
    this.put(conversation, draft);
    this.onChange(this.table);
  }

  private put(conversation: string, { text, replyTo, edit }: Draft) {
    const draft = { text, ...(replyTo && { replyTo }), ...(edit && { edit }) };
    if (isEmpty(draft)) delete this.table[conversation];
    else this.table[conversation] = draft;
  }
}
