import { useCallback, useEffect, useMemo, useState } from "react";
import { useTranslation } from "../../i18n";
import { VList } from "virtua";
import type { Message, Summary } from "../../protocol/types";
import { unreadOf, useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { readByOthers, readerCount } from "../../sync/summary";
import { Icon } from "../../ui/icons";
import { formatDay } from "../../ui/time";
import { MessageRow, OutgoingRow, type MessageState, type Permissions } from "./MessageRow";
import { buildRows, firstUnread } from "./rows";
import { useTimelineScroll } from "./useTimelineScroll";

type Props = {
  conversation: Summary;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
};

const noMessages: never[] = [];

export function TimelineView({ conversation: c, onReply, onEdit, onDelete }: Props) {
  const { t, i18n } = useTranslation();
  const { conversations, timelines } = useSession();
  const me = useApp((s) => s.me)!.id;
  const timeline = useApp((s) => s.timelines[c.id]);
  const outbox = useApp((s) => s.outbox);
  const marks = useApp((s) => s.marks[c.id]);
  const connection = useApp((s) => s.connection);
  const unread = useApp((s) => unreadOf(c, s.localReadMarks[c.id] ?? 0));
  // What was read when the timeline was opened: the line of new messages stays
  // there while the user reads on.
  const [readFrom] = useState(() => Math.max(c.seq - unread, 0));
  const [openedAt] = useState(c.seq);

  useEffect(() => {
    // Again on reconnection: the first attempt may have failed.
    if (!timeline) void timelines.open(c.id).catch(() => {});
  }, [timelines, c.id, timeline, connection]);

  const outgoing = useMemo(() => outbox.filter((m) => m.conversation === c.id), [outbox, c.id]);
  const messages = timeline?.messages ?? noMessages;
  const firstNew = useMemo(() => {
    const seq = firstUnread(messages, readFrom, me);
    return seq <= openedAt ? seq : 0; // what arrives after that is not new
  }, [messages, readFrom, openedAt, me]);
  const rows = useMemo(
    () => buildRows(messages, timeline?.hasAfter ? [] : outgoing, me, firstNew, timeline?.hasBefore ?? true),
    [messages, outgoing, me, firstNew, timeline?.hasBefore, timeline?.hasAfter],
  );

  const { list, range, keepPosition, onScroll, away, highlighted, jumpTo, jumpToLatest } = useTimelineScroll({
    conversation: c.id,
    timeline,
    rows,
    hasRead: readFrom > 0,
  });

  const onJump = useCallback((seq: number) => void jumpTo(seq), [jumpTo]);

  const stateFor = (m: Message): MessageState | undefined => {
    if (m.sender !== me) return undefined;
    if (readByOthers(c, marks, me) >= m.seq) return "read";
    if (c.kind !== "direct") return "delivered";
    const others = Object.entries(marks ?? {}).filter(([user]) => user !== me);
    return others.some(([, x]) => x.received >= m.seq) ? "delivered" : "accepted";
  };
  const readersOf = (m: Message) => {
    const readers = m.sender === me && c.kind !== "direct" ? readerCount(c, marks, me, m.seq) : undefined;
    return { readBy: readers?.count, readers: readers?.all };
  };
  const askReaders = useCallback(
    () => void conversations.loadReadMarks(c.id).catch(() => {}), // asked again the next time
    [conversations, c.id],
  );
  const isManager = c.role === "owner" || c.role === "admin";
  // The same objects each time: a row renders when one of its properties changes.
  const permissionsFor = useMemo(() => {
    const own: Permissions = { edit: true, delete: true };
    const others: Permissions = { edit: false, delete: isManager && c.kind !== "direct" };
    return (m: Message) => (m.sender === me ? own : others);
  }, [isManager, c.kind, me]);

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
        shift={keepPosition}
        onScroll={onScroll}
        className="flex-1 pb-3"
        tabIndex={0}
        data-timeline
        data-first={range.first}
        data-last={range.last}
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
                  {formatDay(row.at, i18n.language, t("today"), t("yesterday"))}
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
                  startsGroup={row.startsGroup}
                  me={me}
                  onJump={onJump}
                />
              );
            case "message":
              return (
                <MessageRow
                  key={row.key}
                  message={row.message}
                  startsGroup={row.startsGroup}
                  own={row.message.sender === me}
                  state={stateFor(row.message)}
                  {...readersOf(row.message)}
                  onAskReaders={askReaders}
                  permissions={permissionsFor(row.message)}
                  highlighted={highlighted === row.message.seq}
                  onReply={onReply}
                  onEdit={onEdit}
                  onDelete={onDelete}
                  onJump={onJump}
                />
              );
          }
        })}
      </VList>
      {away && (
        <button
          type="button"
          onClick={() => void jumpToLatest()}
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
