import { Menu } from "@base-ui/react/menu";
import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type HTMLAttributes,
} from "react";
import { useTranslation } from "../../i18n";
import { Virtualizer, type CustomItemComponentProps } from "virtua";
import type { Message, Summary } from "../../protocol/types";
import { unreadOf, useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { getPlace, type Skipped } from "../../state/places";
import type { OutboxMessage } from "../../sync/outbox";
import { readByOthers, readerCount } from "../../sync/summary";
import { Button } from "../../ui/controls";
import { announce } from "../../ui/Announcer";
import { copyText } from "../../ui/clipboard";
import { Icon } from "../../ui/icons";
import { formatDay } from "../../ui/time";
import { useLongPress } from "../../ui/useLongPress";
import { useSwipe } from "../../ui/useSwipe";
import { useToday } from "../../ui/useToday";
import { useIsConnectionLost } from "../StatusBanner";
import { focusComposer } from "../composer/focus";
import type { ActionOf } from "../shortcuts/shortcuts";
import { actionsId, MessageMenu, type MenuSubject } from "./MessageMenu";
import { MessageRow, OutgoingRow, type MessageState } from "./MessageRow";
import { buildRows, firstUnread, type Row } from "./rows";
import { useMessageFocus } from "./useMessageFocus";
import { useTimelineScroll } from "./useTimelineScroll";

type Props = {
  conversation: Summary;
  /** The seq of the message that is edited or replied to; 0 for none. */
  subject: number;
  /** How often the user has sent a message here. */
  sends: number;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
  onDiscard: (m: OutboxMessage) => void;
};

const noMessages: never[] = [];

export function TimelineView({
  conversation: c,
  subject,
  sends,
  onReply,
  onEdit,
  onDelete,
  onDiscard,
}: Props) {
  const { t, i18n } = useTranslation();
  const { conversations, timelines, marks: markSender } = useSession();
  const me = useApp((s) => s.me)!.id;
  const timeline = useApp((s) => s.timelines[c.id]);
  const outbox = useApp((s) => s.outbox);
  const marks = useApp((s) => s.marks[c.id]);
  const connection = useApp((s) => s.connection);
  const isLost = useIsConnectionLost();
  const unread = useApp((s) => unreadOf(c, s.localReadMarks[c.id] ?? 0));
  useToday(); // the rows of days are named after it
  const [menu] = useState(() => Menu.createHandle<MenuSubject>());
  const [place] = useState(() => {
    const p = getPlace(me, c.id);
    // A server that was set back may not have got there again.
    return p?.anchor && p.anchor.seq > c.seq ? undefined : p;
  });
  const [skipped, setSkipped] = useState(place?.skipped);
  // What was read when the timeline was opened, and what there was: the line of new
  // messages stays there while the user reads on, and what arrives later is not new.
  const [line, setLine] = useState(() => ({
    read: Math.max(skipped ? skipped.from - 1 : c.seq - unread, 0),
    last: c.seq,
  }));

  const startSeq = place?.anchor?.seq ?? place?.skipped?.from;
  const [opened, setOpened] = useState(() => timelines.isOpen(c.id, startSeq));
  const [attempt, setAttempt] = useState(0);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (timeline && opened) return;
    setFailed(false);
    // Again on reconnection, or when the connection was not lost after all: the first
    // attempt may have failed.
    void timelines.open(c.id, opened ? undefined : startSeq).then(
      () => setOpened(true),
      () => (timeline ? setOpened(true) : setFailed(true)),
    );
  }, [timelines, c.id, timeline, opened, startSeq, connection, isLost, attempt]);

  const outgoing = useMemo(() => outbox.filter((m) => m.conversation === c.id), [outbox, c.id]);
  const messages = timeline?.messages ?? noMessages;
  const hasBefore = timeline?.hasBefore ?? true;
  const firstNew = useMemo(() => {
    const seq = firstUnread(messages, line.read, me);
    const isLoaded = !hasBefore || (messages[0]?.seq ?? 0) <= line.read + 1;
    return isLoaded && seq <= line.last ? seq : 0;
  }, [messages, hasBefore, line, me]);
  const hasAfter = timeline?.hasAfter ?? false;
  const rows = useMemo(
    () => buildRows(messages, outgoing, me, firstNew, { hasBefore, hasAfter }),
    [messages, outgoing, me, firstNew, hasBefore, hasAfter],
  );

  const onSkippedSeen = useCallback(() => setSkipped(undefined), []);
  const {
    scroller,
    list,
    range,
    keepPosition,
    onScroll,
    onScrollEnd,
    onResize,
    away,
    isAtEnd,
    highlighted,
    reveal,
    jumpTo,
    loadStart,
    showStart,
    jumpToLatest,
    jumpToSkipped,
  } = useTimelineScroll({
    conversation: c.id,
    timeline,
    lastMessage: c.seq,
    opened,
    rows,
    place,
    skipped,
    onSkippedSeen,
    subject,
  });

  // The button that has the focus goes away.
  const focusTimeline = () => scroller.current?.focus({ preventScroll: true });
  const markSkippedRead = () => {
    setSkipped(undefined);
    markSender.markRead(c.id, c.seq);
    focusTimeline();
  };
  const goToSkipped = () => {
    jumpToSkipped();
    focusTimeline();
  };
  const longPress = useLongPress((e) => {
    const seq = e.closest<HTMLElement>("[data-seq]")?.dataset.seq;
    const button = seq && document.getElementById(actionsId(Number(seq)));
    if (button) menu.open(button.id); // a deleted message has none
  });

  const swipe = useSwipe("[data-seq]", (row) => {
    const m = messages.find((x) => x.seq === Number(row.dataset.seq));
    if (m && !m.deleted_at) onReply(m);
  });

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
  const canDelete = isManager && c.kind !== "direct";

  const onAction = (action: ActionOf<"messages">, row: Row): boolean => {
    if (action === "write") return focusComposer() !== null;
    if (row.kind !== "message" && row.kind !== "outgoing") return false;
    if (action === "copy" && !(row.kind === "message" && row.message.deleted_at)) {
      void copyText(row.message.body).then((ok) => announce(t(ok ? "copied" : "copyFailed")));
      return true;
    }
    if (row.kind !== "message" || row.message.deleted_at) return false;
    const m = row.message;
    const isOwn = m.sender === me;
    if (action === "reply") onReply(m);
    else if (action === "edit" && isOwn) onEdit(m);
    else if (action === "delete" && (canDelete || isOwn)) onDelete(m);
    else if (action === "menu") menu.open(actionsId(m.seq));
    else return false;
    return true;
  };
  const focus = useMessageFocus({
    rows,
    hasBefore,
    hasAfter,
    scroller,
    list,
    reveal,
    loadMore: (step) => (step > 0 ? timelines.loadNewer(c.id) : timelines.loadOlder(c.id)),
    loadStart,
    showStart,
    goToEnd: jumpToLatest,
    onAction,
  });
  const { follow, forget } = focus;
  const onJump = useCallback(
    (seq: number) => {
      follow(seq, jumpTo(seq));
    },
    [jumpTo, follow],
  );

  const seenSends = useRef(sends);
  useEffect(() => {
    if (sends === seenSends.current) return;
    seenSends.current = sends;
    let skips: Skipped | undefined;
    if (unread > 0 && !skipped && !isAtEnd()) {
      const read = c.seq - unread;
      skips = { from: read + 1, count: unread };
      setSkipped(skips);
      setLine({ read, last: c.seq });
    }
    void jumpToLatest(skips);
    forget();
  }, [sends, unread, skipped, c.seq, isAtEnd, jumpToLatest, forget]);

  if (!timeline && (isLost || failed))
    return (
      <div
        role="status"
        className="flex flex-1 flex-col items-center justify-center gap-3 p-8 text-center text-dim"
      >
        <p className="max-w-sm">{t(isLost ? "messagesAbsent" : "messagesNotLoaded")}</p>
        {!isLost && <Button onClick={() => setAttempt((n) => n + 1)}>{t("tryAgain")}</Button>}
      </div>
    );
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
    <div className="relative flex min-h-0 flex-1 flex-col" {...swipe}>
      {rows.length <= 1 && messages.length === 0 && (
        <p className="m-auto p-8 text-center text-dim">{t("emptyConversation")}</p>
      )}
      {skipped && (
        <div
          role="status"
          className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line bg-accent-soft px-4 py-1.5 text-sm"
        >
          <span className="grow basis-56">{t("skipped", { count: skipped.count })}</span>
          <button type="button" className="font-medium underline" onClick={goToSkipped}>
            {t("backToUnread")}
          </button>
          <button type="button" className="text-dim underline" onClick={markSkippedRead}>
            {t("markRead")}
          </button>
        </div>
      )}
      <div
        ref={scroller}
        className="min-h-0 flex-1 overflow-y-auto pb-3"
        style={{ contain: "strict" }}
        // What arrives is announced elsewhere; what one scrolls to has not arrived.
        role="log"
        aria-live="off"
        aria-label={t("messages")}
        // It passes the focus on to a message, which then is the stop of the tab key.
        tabIndex={focus.tabbable === null ? 0 : -1}
        data-timeline
        data-first={range.first}
        data-last={range.last}
        {...longPress}
        {...focus.handlers}
      >
        <FocusedRow value={focus.kept}>
          <Virtualizer
            ref={list}
            data={rows}
            item={Item}
            keepMounted={focus.kept >= 0 ? [focus.kept] : []}
            shift={keepPosition}
            onScroll={onScroll}
            onScrollEnd={() => {
              onScrollEnd();
              focus.onScrollEnd();
            }}
            onResize={() => {
              onResize();
              focus.onResize();
            }}
          >
            {(row: Row) => {
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
                    <Divider key={row.key} className="pt-4 pb-1 font-medium text-dim" rule="bg-line">
                      {formatDay(row.at, i18n.language, t("today"), t("yesterday"))}
                    </Divider>
                  );
                case "new":
                  return (
                    <Divider
                      key={row.key}
                      data-new
                      className="pt-2 font-semibold text-accent"
                      rule="bg-accent"
                    >
                      {t("newMessages")}
                    </Divider>
                  );
                case "gap":
                  return (
                    <Divider key={row.key} className="py-2 text-dim" rule="bg-line">
                      {t("notLoaded")}
                    </Divider>
                  );
                case "outgoing":
                  return (
                    <OutgoingRow
                      key={row.key}
                      message={row.message}
                      startsGroup={row.startsGroup}
                      tabbable={row.key === focus.tabbable}
                      me={me}
                      onDiscard={onDiscard}
                      onJump={onJump}
                    />
                  );
                case "message":
                  return (
                    <MessageRow
                      key={row.key}
                      message={row.message}
                      startsGroup={row.startsGroup}
                      tabbable={row.key === focus.tabbable}
                      own={row.message.sender === me}
                      state={stateFor(row.message)}
                      {...readersOf(row.message)}
                      onAskReaders={askReaders}
                      canDelete={canDelete || row.message.sender === me}
                      highlighted={highlighted === row.message.seq}
                      menu={menu}
                      onJump={onJump}
                    />
                  );
              }
            }}
          </Virtualizer>
        </FocusedRow>
      </div>
      <MessageMenu
        menu={menu}
        timeline={scroller}
        onOpen={askReaders}
        onReply={onReply}
        onEdit={onEdit}
        onDelete={onDelete}
      />
      {away && (
        <button
          type="button"
          onClick={focus.focusLast} // this button goes away
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
    </div>
  );
}

/** The index of the row with the focus. */
const FocusedRow = createContext(-1);

function Item({ ref, style, index, children }: CustomItemComponentProps) {
  // A row can get the focus before it is measured: a hidden one could not.
  const isFocused = useContext(FocusedRow) === index;
  return (
    <div ref={ref} data-index={index} style={isFocused ? { ...style, visibility: undefined } : style}>
      {children}
    </div>
  );
}

/** A line across the timeline, with words in it. */
function Divider({
  rule,
  className,
  children,
  ...rest
}: HTMLAttributes<HTMLDivElement> & { /** The line's color. */ rule: string }) {
  return (
    <div {...rest} className={`flex items-center gap-3 px-4 text-xs ${className}`}>
      <span className={`h-px flex-1 ${rule}`} />
      {children}
      <span className={`h-px flex-1 ${rule}`} />
    </div>
  );
}
