// For tests: a storage in memory.
import type { Draft } from "./drafts";
import type { StoredMessage } from "./storage";

export class MemoryStorage {
  readonly messages = new Map<string, StoredMessage>();
  /** The drafts, by conversation. */
  readonly stored = new Map<string, Draft>();

  async outbox(): Promise<StoredMessage[]> {
    return [...this.messages.values()].sort((a, b) => a.order - b.order);
  }
  async save(m: StoredMessage, wasDraft = false) {
    this.messages.set(m.id, m);
    if (wasDraft) this.stored.delete(m.conversation);
  }
  async delete(id: string) {
    this.messages.delete(id);
  }
  async drafts() {
    return Object.fromEntries(this.stored);
  }
  async saveDraft(conversation: string, draft: Draft | undefined) {
    if (draft) this.stored.set(conversation, draft);
    else this.stored.delete(conversation);
  }
  close() {}
}
