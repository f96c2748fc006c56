import type { RestClient } from "../net/rest";
import type { ChannelEntry, Member, Summary } from "../protocol/types";
import { readerCount } from "../sync/summary";
import type { AppStore } from "./app";

/** Of larger conversations the server does not tell who has read what. */
const maxShownMarks = 64;

/** Conversations creates, joins and changes conversations and their members. */
export class Conversations {
  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
    /** Takes the summary that a request was answered with. */
    private readonly onSummary: (c: Summary) => void,
  ) {}

  createDirect(user: string) {
    return this.upsert(this.rest.post<Summary>("/conversations", { kind: "direct", user }));
  }
  create(kind: "group" | "channel", title: string, topic: string, members: string[]) {
    return this.upsert(this.rest.post<Summary>("/conversations", { kind, title, topic, members }));
  }
  update(id: string, title: string, topic: string) {
    return this.upsert(this.rest.patch<Summary>(`/conversations/${id}`, { title, topic }));
  }
  leave(id: string) {
    return this.rest.post(`/conversations/${id}/leave`);
  }

  findChannels(text = "", cursor = "") {
    return this.rest.page<ChannelEntry>("/channels", text, cursor);
  }
  joinChannel(id: string) {
    return this.upsert(this.rest.post<Summary>(`/conversations/${id}/join`));
  }
  joinByLink(token: string) {
    return this.upsert(this.rest.post<Summary>(`/links/${encodeURIComponent(token)}/join`));
  }

  members(id: string, text = "", cursor = "") {
    return this.rest.page<Member>(`/conversations/${id}/members`, text, cursor);
  }

  /** Learns how far each of the others has read, where the server tells that. */
  async loadReadMarks(id: string) {
    const s = this.store.getState();
    const c = s.conversations[id];
    const me = s.me?.id;
    if (!c || c.kind === "direct" || c.members > maxShownMarks) return;
    if (readerCount(c, s.marks[id], me ?? "", 0)) return; // pushes keep them up to date
    const { items: members } = await this.members(id); // one page has them all
    this.store.setState((now) => {
      if (now.conversations[id]?.members_rev !== c.members_rev) return {};
      const marks = { ...now.marks[id] };
      for (const { user, read } of members) {
        if (user.id === me) continue;
        const known = marks[user.id];
        marks[user.id] = {
          read: Math.max(read, known?.read ?? 0),
          received: Math.max(read, known?.received ?? 0),
        };
      }
      return { marks: { ...now.marks, [id]: marks } };
    });
  }
  addMembers(id: string, users: string[]) {
    return this.upsert(this.rest.post<Summary>(`/conversations/${id}/members`, { users }));
  }
  removeMember(id: string, user: string) {
    return this.rest.delete(`/conversations/${id}/members/${user}`);
  }
  setRole(id: string, user: string, role: string) {
    return this.rest.patch(`/conversations/${id}/members/${user}`, { role });
  }

  /** Puts the conversation that a request is answered with into the store,
   * together with what pushes have brought meanwhile: perhaps the user's removal. */
  private async upsert(request: Promise<Summary>): Promise<Summary> {
    const { removals } = this.store.getState();
    const c = await request;
    if (this.store.getState().removals[c.id] === removals[c.id]) this.onSummary(c);
    return c;
  }
}
