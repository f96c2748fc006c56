import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { VList, type VListHandle } from "virtua";
import type { Message, Summary } from "../../protocol/types";
import { unreadOf, useApp } from "../../state/app";
import { useClient, useSession } from "../../state/context";
import { firstSeq, lastSeq } from "../../sync/timeline";
import { Icon } from "../../ui/icons";
import { longDay } from "../../ui/time";
import { MessageRow, OutgoingRow, type MessageState, type Rights } from "./MessageRow";
import { firstUnread, rowsOf } from "./rows";

type Props = {
  conversation: Summary;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
};

/** How near the end still counts as at the end, in pixels. */
const nearEnd = 80;
/** From how near an end the next page is loaded, in pixels. */
const nearPage = 800;

const none: never[] = [];

export function TimelineView({ conversation: c, onReply, onEdit, onDelete }: Props) {
  const { t, i18n } = useTranslation();
  const { push } = useClient();
  const { marks: markSender, timelines } = useSession();
  const me = useApp((s) => s.me)!.id;
  const timeline = useApp((s) => s.timelines[c.id]);
  const outbox = useApp((s) => s.outbox);
  const marks = useApp((s) => s.marks[c.id]);
  const connection = useApp((s) => s.connection);
  const unread = useApp((s) => unreadOf(c, s.localReadMarks[c.id] ?? 0));
  const list = useRef<VListHandle>(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false); // scrolled up
  const [highlighted, setHighlighted] = useState(0);
  // Where reading began; the line stays there while one reads on.
  const [readFrom] = useState(() => Math.max(c.seq - unread, 0));
  const [openedAt] = useState(c.seq);
  const placed = useRef(false);

  useEffect(() => {
    // Again when the connection is back: the first try may have failed.
    if (!timeline) void timelines.open(c.id).catch(() => {});
  }, [timelines, c.id, timeline, connection]);

  const outgoing = useMemo(() => outbox.filter((m) => m.conversation === c.id), [outbox, c.id]);
  const messages = timeline?.messages ?? none;
  const newLine = useMemo(() => {
    const seq = firstUnread(messages, readFrom, me);
    return seq <= openedAt ? seq : 0; // what comes while one looks is not new
  }, [messages, readFrom, openedAt, me]);
  const rows = useMemo(
    () => rowsOf(messages, timeline?.hasAfter ? [] : outgoing, me, newLine, timeline?.hasBefore ?? true),
    [messages, outgoing, me, newLine, timeline?.hasBefore, timeline?.hasAfter],
  );

  // What comes or goes in front must not move what is looked at. A window that
  // shares nothing with the one before is another place, and is scrolled to.
  const front = timeline ? firstSeq(timeline) : 0;
  const back = timeline ? lastSeq(timeline) : 0;
  const before = useRef({ front, back });
  const shift =
    front !== before.current.front && front <= before.current.back && back >= before.current.front;
  useLayoutEffect(() => {
    before.current = { front, back };
  });

  const end = useCallback(() => {
    const l = list.current;
    if (l) l.scrollToIndex(Number.MAX_SAFE_INTEGER, { align: "end" });
  }, []);

  // Open at the first unread, else at the end.
  useLayoutEffect(() => {
    if (placed.current || !timeline || rows.length === 0) return;
    placed.current = true;
    const line = rows.findIndex((r) => r.kind === "new");
    atEnd.current = !(line >= 0 && readFrom > 0); // reading begins further up
    if (line >= 0 && readFrom > 0) list.current?.scrollToIndex(Math.max(0, line - 1), { align: "start" });
    else list.current?.scrollToIndex(rows.length - 1, { align: "end" });
  }, [timeline, rows, readFrom]);

  // Stay at the end while one is there, and go there for one's own.
  const lastKey = rows.at(-1)?.key;
  const ownLast = rows.at(-1)?.kind === "outgoing";
  const previousKey = useRef(lastKey);
  useLayoutEffect(() => {
    if (!placed.current || previousKey.current === lastKey) return;
    previousKey.current = lastKey;
    if (!atEnd.current && !ownLast) return;
    list.current?.scrollToIndex(rows.length - 1, { align: "end" });
    timelines.trimOldest(c.id);
  }, [timelines, lastKey, ownLast, rows.length, c.id]);

  // What is in view is read, as long as the page is looked at.
  const see = useCallback(() => {
    const l = list.current;
    if (!l || document.visibilityState !== "visible" || !document.hasFocus()) return;
    const last = Math.min(l.findItemIndex(l.scrollOffset + l.viewportSize - 1), rows.length - 1);
    for (let i = last; i >= 0 && i > last - 5; i--) {
      const row = rows[i];
      if (row?.kind === "message") {
        markSender.markRead(c.id, row.message.seq);
        return;
      }
    }
  }, [markSender, rows, c.id]);
  useEffect(() => {
    const look = () => {
      see();
      if (document.visibilityState === "visible") void push.closeNotifications(c.id).catch(() => {});
    };
    const timer = setTimeout(look, 150);
    document.addEventListener("visibilitychange", look);
    window.addEventListener("focus", look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
      window.removeEventListener("focus", look);
    };
  }, [push, see, c.id]);

  const scrolled = useCallback(() => {
    const l = list.current;
    if (!l || !placed.current) return;
    const below = l.scrollSize - l.viewportSize - l.scrollOffset;
    atEnd.current = below < nearEnd && !timeline?.hasAfter;
    setAway(!atEnd.current && below > nearEnd);
    if (l.scrollOffset < nearPage) void timelines.loadOlder(c.id).catch(() => {});
    if (below < nearPage) void timelines.loadNewer(c.id).catch(() => {});
    see();
  }, [timelines, c.id, timeline?.hasAfter, see]);

  const jump = useCallback(
    async (seq: number) => {
      await timelines.open(c.id, seq).catch(() => {});
      setHighlighted(seq);
      setTimeout(() => setHighlighted(0), 2000);
      requestAnimationFrame(() => {
        const now = useApp.getState().timelines[c.id];
        if (!now) return;
        const index = rowsRef.current.findIndex((r) => r.kind === "message" && r.message.seq === seq);
        if (index >= 0) list.current?.scrollToIndex(index, { align: "center" });
      });
    },
    [timelines, c.id],
  );
  const rowsRef = useRef(rows);
  useLayoutEffect(() => {
    rowsRef.current = rows;
  });

  const toLatest = async () => {
    if (timeline?.hasAfter) await timelines.openLatest(c.id).catch(() => {});
    requestAnimationFrame(end);
  };

  const stateOf = (m: Message): MessageState | undefined => {
    if (m.sender !== me) return undefined;
    const others = Object.entries(marks ?? {}).filter(([user]) => user !== me);
    if (others.some(([, x]) => x.read >= m.seq)) return "read";
    if (c.kind !== "direct") return "delivered";
    return others.some(([, x]) => x.received >= m.seq) ? "delivered" : "accepted";
  };
  const manages = c.role === "owner" || c.role === "admin";
  const rightsOf = (m: Message): Rights => ({
    edit: m.sender === me,
    delete: m.sender === me || (manages && c.kind !== "direct"),
  });

  if (!timeline)
    return (
      <div role="status" aria-label={t("connecting")} className="flex flex-1 flex-col justify-end gap-4 p-4">
        {[60, 40, 75].map((w) => (
          <div key={w} aria-hidden className="flex gap-3">
            <div className="h-9 w-9 rounded-xl bg-line" />
            <div className="h-9 rounded-lg bg-line/60" style={{ width: w + "%" }} />
          </div>
        ))}
      </div>
    );
  return (
    <section aria-label={t("messageLabel")} className="relative flex min-h-0 flex-1 flex-col">
      {rows.length <= 1 && messages.length === 0 && (
        <p className="m-auto p-8 text-center text-dim">{t("emptyConversation")}</p>
      )}
      <VList
        ref={list}
        shift={shift}
        onScroll={scrolled}
        className="flex-1 pb-3"
        tabIndex={0}
        data-timeline
        data-first={front}
        data-last={lastSeq(timeline)}
      >
        {rows.map((row) => {
          switch (row.kind) {
            case "start":
              return messages.length === 0 ? (
                <div key={row.key} />
              ) : (
                <p key={row.key} className="px-4 pt-6 pb-2 text-center text-sm text-dim">
                  {t("startOfHistory")}
                </p>
              );
            case "day":
              return (
                <div
                  key={row.key}
                  className="flex items-center gap-3 px-4 pt-4 pb-1 text-xs font-medium text-dim"
                >
                  <span className="h-px flex-1 bg-line" />
                  {longDay(row.at, i18n.language, t("today"), t("yesterday"))}
                  <span className="h-px flex-1 bg-line" />
                </div>
              );
            case "new":
              return (
                <div
                  key={row.key}
                  data-new
                  className="flex items-center gap-3 px-4 pt-2 text-xs font-semibold text-accent"
                >
                  <span className="h-px flex-1 bg-accent" />
                  {t("newMessages")}
                  <span className="h-px flex-1 bg-accent" />
                </div>
              );
            case "outgoing":
              return (
                <OutgoingRow
                  key={row.key}
                  message={row.message}
                  first={row.first}
                  me={me}
                  onJump={(seq) => void jump(seq)}
                />
              );
            case "message":
              return (
                <MessageRow
                  key={row.key}
                  message={row.message}
                  first={row.first}
                  own={row.message.sender === me}
                  state={stateOf(row.message)}
                  rights={rightsOf(row.message)}
                  highlighted={highlighted === row.message.seq}
                  onReply={onReply}
                  onEdit={onEdit}
                  onDelete={onDelete}
                  onJump={(seq) => void jump(seq)}
                />
              );
          }
        })}
      </VList>
      {(away || timeline.hasAfter) && (
        <button
          type="button"
          onClick={() => void toLatest()}
          className="appear absolute right-4 bottom-3 flex items-center gap-2 rounded-full border border-line bg-raised px-3 py-2 text-sm shadow-md hover:bg-panel"
        >
          <Icon name="down" size={16} />
          {t("jumpToLatest")}
          {unread > 0 && (
            <span className="rounded-full bg-accent px-1.5 text-xs font-semibold text-accent-fg">
              {unread > 99 ? "99+" : unread}
            </span>
          )}
        </button>
      )}
    </section>
  );
}
