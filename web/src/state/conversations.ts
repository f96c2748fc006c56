import type { RestClient } from "../net/rest";
import type { ChannelEntry, Member, Summary } from "../protocol/types";
import type { AppStore } from "./app";

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
