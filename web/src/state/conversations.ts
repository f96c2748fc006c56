import type { RestClient } from "../net/rest";
import type { ChannelEntry, Member, Summary } from "../protocol/types";
import type { AppStore } from "./app";

/** Conversations creates, joins and changes conversations and their members. */
export class Conversations {
  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
  ) {}

  fetch(id: string) {
    return this.rest.get<Summary>("/conversations/" + id);
  }
  async createDirect(user: string) {
    return this.upsert(await this.rest.post<Summary>("/conversations", { kind: "direct", user }));
  }
  async create(kind: "group" | "channel", title: string, topic: string, members: string[]) {
    return this.upsert(await this.rest.post<Summary>("/conversations", { kind, title, topic, members }));
  }
  async update(id: string, title: string, topic: string) {
    return this.upsert(await this.rest.patch<Summary>(`/conversations/${id}`, { title, topic }));
  }
  leave(id: string) {
    return this.rest.post(`/conversations/${id}/leave`);
  }

  findChannels(query: string) {
    return this.rest.getAll<ChannelEntry>("/channels?q=" + encodeURIComponent(query));
  }
  async joinChannel(id: string) {
    return this.upsert(await this.rest.post<Summary>(`/conversations/${id}/join`));
  }
  async joinByLink(token: string) {
    return this.upsert(await this.rest.post<Summary>(`/links/${encodeURIComponent(token)}/join`));
  }

  members(id: string) {
    return this.rest.getAll<Member>(`/conversations/${id}/members`);
  }
  async addMembers(id: string, users: string[]) {
    return this.upsert(await this.rest.post<Summary>(`/conversations/${id}/members`, { users }));
  }
  removeMember(id: string, user: string) {
    return this.rest.delete(`/conversations/${id}/members/${user}`);
  }
  setRole(id: string, user: string, role: string) {
    return this.rest.patch(`/conversations/${id}/members/${user}`, { role });
  }

  /** Puts a conversation into the store, unless a push has brought a later revision. */
  private upsert(c: Summary): Summary {
    this.store.setState((s) => {
      const stored = s.conversations[c.id];
      if (stored && stored.rev > c.rev) return {};
      return {
        conversations: { ...s.conversations, [c.id]: c },
        users: c.peer ? { ...s.users, [c.peer.id]: c.peer } : s.users,
      };
    });
    return c;
  }
}
