import type { RestClient } from "../net/rest";
import type { History } from "../protocol/types";
import { append, firstSeq, lastSeq, prepend, trimBack, trimFront, type Timeline } from "../sync/timeline";
import { Timers } from "../sync/timers";
import type { AppStore } from "./app";

const pageSize = 60;
/** Trimming waits until the view has shown the page that came before it: the
 * view keeps its place over a change at one end of the timeline, not at both. */
const trimDelay = 300;

/** Timelines loads the windows of messages that the page shows. */
export class Timelines {
  /** What is being loaded: a conversation and a direction. */
  private readonly loading = new Set<string>();
  private readonly timers = new Timers();

  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
  ) {}

  stop() {
    this.timers.clear();
  }

  /** Opens a conversation's timeline: at the first unread message, or around a given one. */
  async open(id: string, around?: number) {
    const s = this.store.getState();
    const c = s.conversations[id];
    const loaded = s.timelines[id];
    if (!around && loaded && !loaded.hasAfter) return;
    if (around && loaded && around >= firstSeq(loaded) && around <= lastSeq(loaded)) return;
    const read = Math.max(c?.read ?? 0, s.localReadMarks[id] ?? 0);
    const manyUnread = c && c.seq - read > pageSize / 2 && c.unread > pageSize / 2;
    const center = around ?? (manyUnread ? c.seq - c.unread + 1 : 0);
    const h = await this.fetch(id, center > 0 ? `around=${center}&` : "");
    this.store.setState((now) => {
      let timeline = fromHistory(h);
      // Messages may have been pushed while the page was loading.
      const pushed = now.timelines[id];
      if (pushed && !timeline.hasAfter) timeline = append(timeline, pushed.messages, pushed.hasAfter);
      return { timelines: { ...now.timelines, [id]: timeline } };
    });
  }

  /** Replaces the window by the latest messages. */
  async openLatest(id: string) {
    const h = await this.fetch(id, "");
    this.store.setState((s) => ({ timelines: { ...s.timelines, [id]: fromHistory(h) } }));
  }

  loadOlder(id: string): Promise<void> {
    const t = this.store.getState().timelines[id];
    if (!t?.hasBefore) return Promise.resolve();
    return this.loadPage(id, `before=${firstSeq(t)}&`, "older", (h) => {
      this.update(id, (now) => prepend(now, h.items, h.has_before));
      this.trimLater(id, trimBack);
    });
  }

  loadNewer(id: string): Promise<void> {
    const t = this.store.getState().timelines[id];
    if (!t?.hasAfter) return Promise.resolve();
    return this.loadPage(id, `after=${lastSeq(t)}&`, "newer", (h) => {
      this.update(id, (now) => append(now, h.items, h.has_after));
      this.trimLater(id, trimFront);
    });
  }

  /** Drops the oldest messages of a window that has grown too large. */
  trimOldest(id: string) {
    this.trimLater(id, trimFront);
  }

  private fetch(id: string, query: string) {
    return this.rest.get<History>(`/conversations/${id}/messages?${query}limit=${pageSize}`);
  }

  private async loadPage(
    id: string,
    query: string,
    direction: "older" | "newer",
    apply: (h: History) => void,
  ) {
    const key = `${direction} ${id}`;
    if (this.loading.has(key)) return;
    this.loading.add(key);
    try {
      apply(await this.fetch(id, query));
    } finally {
      this.loading.delete(key);
    }
  }

  private update(id: string, change: (t: Timeline) => Timeline) {
    this.store.setState((s) => {
      const t = s.timelines[id];
      const changed = t && change(t);
      return changed && changed !== t ? { timelines: { ...s.timelines, [id]: changed } } : {};
    });
  }

  private trimLater(id: string, trim: (t: Timeline) => Timeline) {
    this.timers.after(trimDelay, () => this.update(id, trim));
  }
}

function fromHistory(h: History): Timeline {
  return { messages: h.items, hasBefore: h.has_before, hasAfter: h.has_after };
}
