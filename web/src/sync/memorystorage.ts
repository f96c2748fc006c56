// For tests: a storage in memory.
import type { StoredMessage } from "./storage";

export class MemoryStorage {
  readonly messages = new Map<string, StoredMessage>();
  readonly drafts = new Map<string, string>();

  async outbox(): Promise<StoredMessage[]> {
    return [...this.messages.values()].sort((a, b) => a.order - b.order);
  }
  async save(m: StoredMessage, wasDraft = false) {
    this.messages.set(m.id, m);
    if (wasDraft) this.drafts.delete(m.conversation);
  }
  async delete(id: string) {
    this.messages.delete(id);
  }
  async draft(conversation: string): Promise<string> {
    return this.drafts.get(conversation) ?? "";
  }
  async saveDraft(conversation: string, text: string) {
    if (text) this.drafts.set(conversation, text);
    else this.drafts.delete(conversation);
  }
  close() {}
}
