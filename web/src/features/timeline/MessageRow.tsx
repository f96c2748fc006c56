import { Menu } from "@base-ui/react/menu";
import { memo, type MouseEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Message } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import type { OutboxMessage } from "../../sync/outbox";
import { renderMarkdown } from "../../text/markdown";
import { previewOf } from "../../text/preview";
import { Avatar } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { formatDateTime, formatTime } from "../../ui/time";
import { useCopy } from "../../ui/useCopy";
import { useDisplayName } from "../useDisplayName";

export type MessageState = "sending" | "accepted" | "delivered" | "read" | "failed";

const stateSymbols: Record<MessageState, string> = {
  sending: "◌",
  accepted: "✓",
  delivered: "✓✓",
  read: "✓✓",
  failed: "!",
};

function StateIcon({ state }: { state: MessageState }) {
  const { t } = useTranslation();
  const colour = state === "read" ? "text-accent" : state === "failed" ? "text-danger" : "text-dim";
  return (
    <span role="img" aria-label={t(state)} title={t(state)} className={`text-xs tracking-tighter ${colour}`}>
      {stateSymbols[state]}
    </span>
  );
}

function MessageLayout({
  sender,
  at,
  startsGroup,
  own,
  children,
}: {
  sender: string;
  at: number;
  startsGroup: boolean;
  own: boolean;
  children: ReactNode;
}) {
  const { i18n } = useTranslation();
  const name = useDisplayName(sender);
  return (
    <div
      className={`group relative flex gap-3 px-4 py-0.5 hover:bg-panel/70 ${own ? "bg-own/60" : ""} ${startsGroup ? "mt-2.5" : ""}`}
    >
      <div className="w-9 shrink-0">
        {startsGroup ? (
          <Avatar name={name} id={sender} />
        ) : (
          <time className="hidden pt-1 text-[10px] text-dim group-hover:block">
            {formatTime(at, i18n.language)}
          </time>
        )}
      </div>
      <div className="min-w-0 flex-1">
        {startsGroup && (
          <p className="flex items-baseline gap-2">
            <bdi className="truncate font-semibold">{name}</bdi>
            <time className="text-xs text-dim" title={formatDateTime(at, i18n.language)}>
              {formatTime(at, i18n.language)}
            </time>
          </p>
        )}
        {children}
      </div>
    </div>
  );
}

function Quote({
  conversation,
  seq,
  onJump,
}: {
  conversation: string;
  seq: number;
  onJump: (seq: number) => void;
}) {
  const { t } = useTranslation();
  const original = useApp((s) => s.timelines[conversation]?.messages.find((m) => m.seq === seq));
  const name = useDisplayName(original?.sender);
  return (
    <button
      type="button"
      onClick={() => onJump(seq)}
      className="mb-0.5 flex max-w-full items-center gap-2 rounded-md border-l-2 border-accent bg-panel px-2 py-0.5 text-left text-sm text-dim hover:text-fg"
    >
      <Icon name="reply" size={14} />
      <span dir="auto" className="truncate">
        {original ? (
          <>
            <bdi className="font-medium">{name}</bdi>{" "}
            {original.deleted_at ? t("deleted") : previewOf(original.body)}
          </>
        ) : (
          t("originalMissing")
        )}
      </span>
    </button>
  );
}

function MessageBody({ body }: { body: string }) {
  const stopPropagation = (e: MouseEvent) => e.stopPropagation();
  return (
    <div
      className="markdown"
      onClick={stopPropagation}
      dangerouslySetInnerHTML={{ __html: renderMarkdown(body) }}
    />
  );
}

export type Permissions = { edit: boolean; delete: boolean };

type Props = {
  message: Message;
  startsGroup: boolean;
  own: boolean;
  state?: MessageState;
  permissions: Permissions;
  highlighted: boolean;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
  onJump: (seq: number) => void;
};

/** Copies a message. The menu stays open, to say whether that worked. */
function CopyItem({ text, className }: { text: string; className: string }) {
  const [label, copy] = useCopy();
  return (
    <Menu.Item
      className={className + " max-w-72 [&>svg]:shrink-0"}
      closeOnClick={false}
      onClick={() => copy(text)}
    >
      <Icon name="copy" size={16} /> <span aria-live="polite">{label}</span>
    </Menu.Item>
  );
}

export const MessageRow = memo(function MessageRow(p: Props) {
  const { t } = useTranslation();
  const m = p.message;
  const itemStyle =
    "flex cursor-pointer items-center gap-2 rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft";
  return (
    <article
      aria-label={t("messageLabel")}
      data-seq={m.seq}
      className={p.highlighted ? "bg-accent-soft" : ""}
    >
      <MessageLayout sender={m.sender} at={m.at} startsGroup={p.startsGroup} own={p.own}>
        {m.reply_to ? <Quote conversation={m.conversation} seq={m.reply_to} onJump={p.onJump} /> : null}
        {m.deleted_at ? <p className="text-dim italic">{t("deleted")}</p> : <MessageBody body={m.body} />}
        <span className="absolute right-4 bottom-0.5 flex items-center gap-2">
          {m.edited_at && !m.deleted_at ? <span className="text-xs text-dim">({t("edited")})</span> : null}
          {p.state && !m.deleted_at && <StateIcon state={p.state} />}
        </span>
        {!m.deleted_at && (
          <div className="absolute -top-3 right-4 rounded-lg border border-line bg-raised opacity-0 shadow-sm group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
            <Menu.Root>
              <Menu.Trigger
                aria-label={t("actions")}
                className="rounded-lg px-2 py-0.5 text-dim hover:text-fg"
              >
                ⋯
              </Menu.Trigger>
              <Menu.Portal>
                <Menu.Positioner align="end" sideOffset={4}>
                  <Menu.Popup className="z-10 min-w-40 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none">
                    <Menu.Item className={itemStyle} onClick={() => p.onReply(m)}>
                      <Icon name="reply" size={16} /> {t("reply")}
                    </Menu.Item>
                    <CopyItem className={itemStyle} text={m.body} />
                    {p.permissions.edit && (
                      <Menu.Item className={itemStyle} onClick={() => p.onEdit(m)}>
                        <Icon name="edit" size={16} /> {t("edit")}
                      </Menu.Item>
                    )}
                    {p.permissions.delete && (
                      <Menu.Item className={itemStyle + " text-danger"} onClick={() => p.onDelete(m)}>
                        <Icon name="trash" size={16} /> {t("delete")}
                      </Menu.Item>
                    )}
                  </Menu.Popup>
                </Menu.Positioner>
              </Menu.Portal>
            </Menu.Root>
          </div>
        )}
      </MessageLayout>
    </article>
  );
});

/** A message of the outbox: not stored by the server yet, or rejected. */
export function OutgoingRow({
  message: m,
  startsGroup,
  me,
  onJump,
}: {
  message: OutboxMessage;
  startsGroup: boolean;
  me: string;
  onJump: (seq: number) => void;
}) {
  const { t } = useTranslation();
  const { messages } = useSession();
  return (
    <article aria-label={t("messageLabel")}>
      <MessageLayout sender={me} at={m.at} startsGroup={startsGroup} own>
        {m.replyTo ? <Quote conversation={m.conversation} seq={m.replyTo} onJump={onJump} /> : null}
        <div className={m.state === "failed" ? "" : "opacity-70"}>
          <MessageBody body={m.body} />
        </div>
        <span className="flex items-center gap-2">
          <StateIcon state={m.state} />
          {m.state === "failed" && (
            <span className="flex items-center gap-2 text-sm text-danger">
              {t("failed")}
              {m.code && (
                <span className="text-dim">{t("code_" + m.code, { detail: "", defaultValue: "" })}</span>
              )}
              <button type="button" className="font-medium underline" onClick={() => messages.retry(m.id)}>
                {t("retry")}
              </button>
              <button type="button" className="font-medium underline" onClick={() => messages.discard(m.id)}>
                {t("discard")}
              </button>
            </span>
          )}
        </span>
      </MessageLayout>
    </article>
  );
}
