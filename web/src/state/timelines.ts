import type { RestClient } from "../net/rest";
import type { History } from "../protocol/types";
import { catchUp, emptyChangeLog } from "../sync/changelog";
import {
  append,
  firstSeq,
  fromHistory,
  lastSeq,
  prepend,
  trimBack,
  trimFront,
  type Timeline,
} from "../sync/timeline";
import { Timers } from "../sync/timers";
import type { AppState, AppStore } from "./app";

const pageSize = 60;
/** Trimming waits until the view has shown the page that came before it: the
 * view keeps its place over a change at one end of the timeline, not at both. */
const trimDelay = 300;

/** Timelines loads the windows of messages that the page shows. One that is of an
 * older rev than its conversation lacks changes, which the synchronization requests
 * once it is told of the window. */
export class Timelines {
  /** What is being loaded, by a conversation's window and a direction. */
  private readonly loading = new Map<string, Promise<void>>();
  private readonly timers = new Timers();
  /** Numbers the windows in the order in which they were asked for. */
  private lastWindow = 0;
  /** By conversation, the window that is shown. */
  private readonly windows = new Map<string, number>();

  constructor(
    private readonly store: AppStore,
    private readonly rest: RestClient,
    /** Called after the window of a conversation was loaded or has changed. */
    private readonly onLoaded: (id: string) => void,
    /** Returns the latest messages of a conversation, as far as the device has kept them. */
    private readonly findCopy?: (id: string) => Promise<Timeline | undefined>,
  ) {}

  stop() {
    this.timers.clear();
  }

  /** Whether a conversation's window has its latest messages, or a given one. */
  isOpen(id: string, around?: number): boolean {
    const loaded = this.store.getState().timelines[id];
    if (!loaded) return false;
    return around ? around >= firstSeq(loaded) && around <= lastSeq(loaded) : !loaded.hasAfter;
  }

  /** Opens a conversation's timeline: at the first unread message, or around a given one.
   * Without a connection that is what the device has kept, if it has: then nothing is
   * asked for until there is one. */
  async open(id: string, around?: number) {
    if (this.isOpen(id, around)) return;
    const isOffline = this.store.getState().connection !== "open";
    if (isOffline && this.findCopy && (await this.openCopy(id))) return;
    try {
      await this.openWindow(id, around);
    } catch (e) {
      if (!(await this.openCopy(id))) throw e;
    }
  }

  /** Shows what the device has kept, unless there is a window. */
  private async openCopy(id: string): Promise<boolean> {
    const { removals, timelines } = this.store.getState();
    if (timelines[id]) return false;
    const kept = await this.findCopy?.(id);
    const now = this.store.getState();
    if (!kept || now.timelines[id] || !now.conversations[id] || this.wasRemoved(id, removals)) return false;
    this.windows.set(id, ++this.lastWindow);
    this.store.setState((s) => {
      const log = s.changeLogs[id] ?? emptyChangeLog(kept.rev);
      return {
        changeLogs: { ...s.changeLogs, [id]: log },
        timelines: { ...s.timelines, [id]: catchUp(kept, log) },
      };
    });
    this.onLoaded(id);
    return true;
  }

  private async openWindow(id: string, around?: number) {
    const s = this.store.getState();
    const c = s.conversations[id];
    const read = Math.max(c?.read ?? 0, s.localReadMarks[id] ?? 0);
    const manyUnread = c && c.seq - read > pageSize / 2 && c.unread > pageSize / 2;
    const center = around ?? (manyUnread ? c.seq - c.unread + 1 : 0);
    await this.loadWindow(id, center > 0 ? `around=${center}&` : "");
  }

  /** Replaces the window by the latest messages. */
  openLatest(id: string) {
    return this.loadWindow(id, "");
  }

  /** Loads the page before a conversation's window; resolves once it is there, also if it was
   * asked for before. */
  loadOlder(id: string): Promise<void> {
    const t = this.store.getState().timelines[id];
    if (!t?.hasBefore) return Promise.resolve();
    const before = firstSeq(t);
    return this.loadPage(id, `before=${before}&`, "older", (h) => {
      this.update(id, (now) => prepend(now, before, h));
      this.trimLater(id, trimBack);
    });
  }

  /** Loads the page after a conversation's window, likewise. */
  loadNewer(id: string): Promise<void> {
    const t = this.store.getState().timelines[id];
    if (!t?.hasAfter) return Promise.resolve();
    const after = lastSeq(t);
    return this.loadPage(id, `after=${after}&`, "newer", (h) => {
      this.update(id, (now) => append(now, after, h));
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

  /** Replaces the window, unless one that was asked for later is shown already. */
  private async loadWindow(id: string, query: string) {
    const window = ++this.lastWindow;
    const { removals } = this.store.getState();
    // What changes from here on is applied over the answer.
    this.store.setState((s) => {
      if (s.changeLogs[id]) return {};
      const log = emptyChangeLog(s.conversations[id]?.rev ?? 0);
      return { changeLogs: { ...s.changeLogs, [id]: log } };
    });
    const h = await this.fetch(id, query);
    if (window < (this.windows.get(id) ?? 0) || this.wasRemoved(id, removals)) return;
    if (!this.store.getState().conversations[id]) return; // nothing keeps it up to date
    this.windows.set(id, window);
    this.store.setState((s) => ({
      timelines: { ...s.timelines, [id]: catchUp(fromHistory(h), s.changeLogs[id]) },
    }));
    this.onLoaded(id);
  }

  private loadPage(
    id: string,
    query: string,
    direction: "older" | "newer",
    apply: (h: History) => void,
  ): Promise<void> {
    const window = this.windows.get(id);
    const { removals } = this.store.getState();
    const key = `${direction} ${window} ${id}`;
    const load = async () => {
      const h = await this.fetch(id, query);
      if (this.windows.get(id) === window && !this.wasRemoved(id, removals)) apply(h);
    };
    const loading = this.loading.get(key) ?? load().finally(() => this.loading.delete(key));
    this.loading.set(key, loading);
    return loading;
  }

  /** Whether the user was removed from the conversation since: what was asked
   * for before that is not shown. */
  private wasRemoved(id: string, since: AppState["removals"]) {
    return this.store.getState().removals[id] !== since[id];
  }

  private update(id: string, change: (t: Timeline) => Timeline) {
    this.store.setState((s) => {
      const t = s.timelines[id];
      const changed = t && catchUp(change(t), s.changeLogs[id]);
      return changed && changed !== t ? { timelines: { ...s.timelines, [id]: changed } } : {};
    });
    this.onLoaded(id);
  }

  private trimLater(id: string, trim: (t: Timeline) => Timeline) {
    this.timers.after(trimDelay, () => this.update(id, trim));
  }
}
