import { memo, type MouseEvent, type ReactNode } from "react";
import { useTranslation } from "../../i18n";
import type { Message } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import type { OutboxMessage } from "../../sync/outbox";
import { renderMarkdown } from "../../text/markdown";
import { previewOf } from "../../text/preview";
import { Avatar } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { refusalText } from "../../ui/problem";
import { OneLine } from "../../ui/OneLine";
import { formatDateTime, formatTime } from "../../ui/time";
import { PersonButton } from "../people/PeopleCards";
import { useToday } from "../../ui/useToday";
import { useDisplayName } from "../useDisplayName";
import "./markdown.css";
import { ActionsButton, type MessageMenuHandle, type Readers } from "./MessageMenu";

export type MessageState = "sending" | "accepted" | "delivered" | "read" | "failed";

const stateSymbols: Record<MessageState, string> = {
  sending: "◌",
  accepted: "✓",
  delivered: "✓✓",
  read: "✓✓",
  failed: "!",
};

function StateIcon({ state, readBy, readers }: { state: MessageState } & Readers) {
  const { t } = useTranslation();
  const label = readers === undefined ? t(state) : t("readByCount", { count: readBy ?? 0, all: readers });
  const colour = state === "read" ? "text-accent" : state === "failed" ? "text-danger" : "text-dim";
  return (
    // As wide for each state: the text beside it must not move when a message is accepted.
    <span className={`relative w-5 text-right text-xs ${colour}`}>
      {readers !== undefined && (
        <span
          aria-hidden
          className="invisible absolute right-full rounded bg-panel px-1 tabular-nums group-hover:visible"
        >
          {readBy}/{readers}
        </span>
      )}
      <span role="img" aria-label={label} title={label} className="tracking-tighter whitespace-nowrap">
        {stateSymbols[state]}
      </span>
    </span>
  );
}

/** A finger hits a name that takes no more room than its line. */
const nameStyle =
  "min-w-0 text-left font-semibold hover:underline pointer-coarse:-my-[11px] pointer-coarse:py-[11px]";

const pressName = (e: MouseEvent<HTMLElement>) =>
  e.currentTarget.closest("article")?.querySelector<HTMLElement>("button[aria-haspopup=dialog]")?.click();

function MessageLayout({
  sender,
  at,
  startsGroup,
  own,
  marks,
  children,
}: {
  sender: string;
  at: number;
  startsGroup: boolean;
  own: boolean;
  /** What stands at the end of the last line. */
  marks: ReactNode;
  children: ReactNode;
}) {
  const { i18n } = useTranslation();
  const name = useDisplayName(sender);
  return (
    <div
      className={`group hover:bg-panel/70 ${own ? "bg-own/60" : ""} ${startsGroup ? "mt-1 pt-2" : "pt-0.5"} pb-0.5`}
    >
      {/* No line is longer than one reads with ease. */}
      <div className="relative flex max-w-4xl gap-3 px-4">
        <div className="w-9 shrink-0">
          {startsGroup ? (
            // The name beside it is the same for the keyboard.
            <div className="cursor-pointer" onClick={pressName}>
              <Avatar name={name} id={sender} />
            </div>
          ) : (
            // In the whole margin, and out of the flow: it appears without moving anything.
            <time className="invisible absolute left-0 w-16 pt-1 text-center text-[10px] whitespace-nowrap text-dim group-hover:visible">
              {formatTime(at, i18n.language)}
            </time>
          )}
        </div>
        <div className="min-w-0 flex-1">
          {startsGroup && (
            <p className="flex items-baseline gap-2">
              <PersonButton user={sender} tabIndex={-1} className={nameStyle}>
                <OneLine>{name}</OneLine>
              </PersonButton>
              <time className="text-xs whitespace-nowrap text-dim" title={formatDateTime(at, i18n.language)}>
                {formatTime(at, i18n.language)}
              </time>
            </p>
          )}
          {children}
        </div>
        {marks && <span className="flex shrink-0 items-center gap-2 self-end">{marks}</span>}
      </div>
    </div>
  );
}

/** What a message answers. */
type Quoted = { seq: number; name?: string; text: string };

/** Returns what a message answers, if it does: who wrote that and how it begins, as far as
 * it is loaded. */
function useQuoted(conversation: string, seq: number | undefined): Quoted | undefined {
  const { t } = useTranslation();
  const original = useApp((s) =>
    seq ? s.timelines[conversation]?.messages.find((m) => m.seq === seq) : undefined,
  );
  const name = useDisplayName(original?.sender);
  if (!seq) return undefined;
  if (!original) return { seq, text: t("originalMissing") };
  return { seq, name, text: original.deleted_at ? t("deleted") : previewOf(original.body) };
}

function Quote({ quoted: { seq, name, text }, onJump }: { quoted: Quoted; onJump: (seq: number) => void }) {
  return (
    <button
      type="button"
      tabIndex={-1}
      onClick={() => onJump(seq)}
      className="mb-0.5 flex max-w-full items-center gap-2 rounded-md border-l-2 border-accent bg-panel px-2 py-0.5 text-left text-sm text-dim hover:text-fg"
    >
      <Icon name="reply" size={14} />
      <span dir="auto" className="truncate">
        {name !== undefined && (
          <>
            <bdi className="font-semibold">{name}</bdi>{" "}
          </>
        )}
        {text}
      </span>
    </button>
  );
}

/** Returns what a message is called: by whom it is and of when, what it answers, and what has
 * become of it. */
function useLabel(sender: string, at: number, quoted: Quoted | undefined, ...more: (string | undefined)[]) {
  const { t, i18n } = useTranslation();
  const name = useDisplayName(sender);
  const time = (at >= useToday() ? formatTime : formatDateTime)(at, i18n.language);
  const answered = quoted && [quoted.name, quoted.text].filter(Boolean).join(": ");
  return [name, time, answered && t("inReplyTo", { answered }), ...more].filter(Boolean).join(", ");
}

function MessageBody({ id, body }: { id: string; body: string }) {
  const stopPropagation = (e: MouseEvent) => e.stopPropagation();
  return (
    <div
      id={id}
      className="markdown"
      onClick={stopPropagation}
      dangerouslySetInnerHTML={{ __html: renderMarkdown(body) }}
    />
  );
}

type Props = Readers & {
  message: Message;
  startsGroup: boolean;
  /** Whether the tab key comes to it. */
  tabbable: boolean;
  own: boolean;
  state?: MessageState;
  /** Called when the person may want to know readBy and readers. */
  onAskReaders: () => void;
  canDelete: boolean;
  highlighted: boolean;
  menu: MessageMenuHandle;
  onJump: (seq: number) => void;
};

/** A message. It is rendered again only when it has changed itself: all that it gets is the
 * same object then, or a plain value. */
export const MessageRow = memo(function MessageRow(p: Props) {
  const { t } = useTranslation();
  const m = p.message;
  const quoted = useQuoted(m.conversation, m.reply_to);
  const state = p.state && t(p.state);
  const label = useLabel(
    m.sender,
    m.at,
    quoted,
    ...(m.deleted_at ? [t("deleted")] : [m.edited_at ? t("edited") : "", state]),
  );
  const marks = !m.deleted_at && (m.edited_at || p.state) && (
    <>
      {m.edited_at ? <span className="text-xs text-dim">({t("edited")})</span> : null}
      {p.state && <StateIcon state={p.state} readBy={p.readBy} readers={p.readers} />}
    </>
  );
  return (
    <article
      aria-label={label}
      aria-describedby={m.deleted_at ? undefined : m.id}
      tabIndex={p.tabbable ? 0 : -1}
      data-seq={m.seq}
      onPointerEnter={p.own ? p.onAskReaders : undefined}
      className={`pointer-coarse:select-none ${p.highlighted ? "bg-accent-soft" : ""}`}
    >
      <MessageLayout sender={m.sender} at={m.at} startsGroup={p.startsGroup} own={p.own} marks={marks}>
        {quoted && <Quote quoted={quoted} onJump={p.onJump} />}
        {m.deleted_at ? (
          <p className="text-dim italic">{t("deleted")}</p>
        ) : (
          <MessageBody id={m.id} body={m.body} />
        )}
        {!m.deleted_at && (
          <ActionsButton
            menu={p.menu}
            message={m}
            canEdit={p.own}
            canDelete={p.canDelete}
            readBy={p.readBy}
            readers={p.readers}
          />
        )}
      </MessageLayout>
    </article>
  );
});

/** A message of the outbox: not stored by the server yet, or rejected. */
export function OutgoingRow({
  message: m,
  startsGroup,
  tabbable,
  me,
  onDiscard,
  onJump,
}: {
  message: OutboxMessage;
  startsGroup: boolean;
  tabbable: boolean;
  me: string;
  onDiscard: (m: OutboxMessage) => void;
  onJump: (seq: number) => void;
}) {
  const { t } = useTranslation();
  const { messages } = useSession();
  const quoted = useQuoted(m.conversation, m.replyTo);
  const label = useLabel(me, m.at, quoted, t(m.state));
  return (
    <article aria-label={label} aria-describedby={m.id} tabIndex={tabbable ? 0 : -1}>
      <MessageLayout
        sender={me}
        at={m.at}
        startsGroup={startsGroup}
        own
        marks={m.state !== "failed" && <StateIcon state={m.state} />}
      >
        {quoted && <Quote quoted={quoted} onJump={onJump} />}
        <div className={m.state === "failed" ? "" : "opacity-70"}>
          <MessageBody id={m.id} body={m.body} />
        </div>
        {m.state === "failed" && (
          <span className="flex flex-wrap items-center gap-2 text-sm text-danger">
            <StateIcon state={m.state} />
            {t("failed")}
            {m.code && <span className="text-dim">{refusalText(t, { code: m.code, field: "body" })}</span>}
            <button
              type="button"
              tabIndex={-1}
              className="font-medium underline"
              onClick={() => messages.retry(m.id)}
            >
              {t("retry")}
            </button>
            <button
              type="button"
              tabIndex={-1}
              className="font-medium underline"
              onClick={() => onDiscard(m)}
            >
              {t("discard")}
            </button>
          </span>
        )}
      </MessageLayout>
    </article>
  );
}
