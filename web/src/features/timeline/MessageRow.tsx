import { Menu } from "@base-ui/react/menu";
import { memo, type MouseEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Message } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import type { OutboxMessage } from "../../sync/outbox";
import { Avatar } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { clock, dateTime } from "../../ui/time";
import { usePersonName } from "../people";
import { render } from "./markdown";

export type MessageState = "sending" | "accepted" | "delivered" | "read" | "failed";

const signs: Record<MessageState, string> = {
  sending: "◌",
  accepted: "✓",
  delivered: "✓✓",
  read: "✓✓",
  failed: "!",
};

function StateSign({ state }: { state: MessageState }) {
  const { t } = useTranslation();
  const colour = state === "read" ? "text-accent" : state === "failed" ? "text-danger" : "text-dim";
  return (
    <span role="img" aria-label={t(state)} title={t(state)} className={`text-xs tracking-tighter ${colour}`}>
      {signs[state]}
    </span>
  );
}

function Line({
  sender,
  at,
  first,
  own,
  children,
}: {
  sender: string;
  at: number;
  first: boolean;
  own: boolean;
  children: ReactNode;
}) {
  const { i18n } = useTranslation();
  const name = usePersonName(sender);
  return (
    <div
      className={`group relative flex gap-3 px-4 py-0.5 hover:bg-panel/70 ${own ? "bg-own/60" : ""} ${first ? "mt-2.5" : ""}`}
    >
      <div className="w-9 shrink-0">
        {first ? (
          <Avatar name={name} id={sender} />
        ) : (
          <time className="hidden pt-1 text-[10px] text-dim group-hover:block">
            {clock(at, i18n.language)}
          </time>
        )}
      </div>
      <div className="min-w-0 flex-1">
        {first && (
          <p className="flex items-baseline gap-2">
            <span className="truncate font-semibold">{name}</span>
            <time className="text-xs text-dim" title={dateTime(at, i18n.language)}>
              {clock(at, i18n.language)}
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
  const name = usePersonName(original?.sender);
  return (
    <button
      type="button"
      onClick={() => onJump(seq)}
      className="mb-0.5 flex max-w-full items-center gap-2 rounded-md border-l-2 border-accent bg-panel px-2 py-0.5 text-left text-sm text-dim hover:text-fg"
    >
      <Icon name="reply" size={14} />
      <span className="truncate">
        {original ? (
          <>
            <span className="font-medium">{name}</span>{" "}
            {original.deleted_at ? t("deleted") : original.body.slice(0, 140)}
          </>
        ) : (
          t("originalMissing")
        )}
      </span>
    </button>
  );
}

/** The text, rendered and made safe. */
function Body({ body }: { body: string }) {
  const stop = (e: MouseEvent) => e.stopPropagation();
  return <div className="markdown" onClick={stop} dangerouslySetInnerHTML={{ __html: render(body) }} />;
}

export type Rights = { edit: boolean; delete: boolean };

type Props = {
  message: Message;
  first: boolean;
  own: boolean;
  state?: MessageState;
  rights: Rights;
  highlighted: boolean;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
  onJump: (seq: number) => void;
};

export const MessageRow = memo(function MessageRow(p: Props) {
  const { t } = useTranslation();
  const m = p.message;
  const item =
    "flex cursor-pointer items-center gap-2 rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft";
  return (
    <article
      aria-label={t("messageLabel")}
      data-seq={m.seq}
      className={p.highlighted ? "bg-accent-soft" : ""}
    >
      <Line sender={m.sender} at={m.at} first={p.first} own={p.own}>
        {m.reply_to ? <Quote conversation={m.conversation} seq={m.reply_to} onJump={p.onJump} /> : null}
        {m.deleted_at ? <p className="text-dim italic">{t("deleted")}</p> : <Body body={m.body} />}
        <span className="absolute right-4 bottom-0.5 flex items-center gap-2">
          {m.edited_at && !m.deleted_at ? <span className="text-xs text-dim">({t("edited")})</span> : null}
          {p.state && !m.deleted_at && <StateSign state={p.state} />}
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
                    <Menu.Item className={item} onClick={() => p.onReply(m)}>
                      <Icon name="reply" size={16} /> {t("reply")}
                    </Menu.Item>
                    <Menu.Item className={item} onClick={() => void navigator.clipboard?.writeText(m.body)}>
                      <Icon name="copy" size={16} /> {t("copy")}
                    </Menu.Item>
                    {p.rights.edit && (
                      <Menu.Item className={item} onClick={() => p.onEdit(m)}>
                        <Icon name="edit" size={16} /> {t("edit")}
                      </Menu.Item>
                    )}
                    {p.rights.delete && (
                      <Menu.Item className={item + " text-danger"} onClick={() => p.onDelete(m)}>
                        <Icon name="trash" size={16} /> {t("delete")}
                      </Menu.Item>
                    )}
                  </Menu.Popup>
                </Menu.Positioner>
              </Menu.Portal>
            </Menu.Root>
          </div>
        )}
      </Line>
    </article>
  );
});

/** A message that is on its way, or did not make it. */
export function OutgoingRow({
  message: m,
  first,
  me,
  onJump,
}: {
  message: OutboxMessage;
  first: boolean;
  me: string;
  onJump: (seq: number) => void;
}) {
  const { t } = useTranslation();
  const { messages } = useSession();
  return (
    <article aria-label={t("messageLabel")}>
      <Line sender={me} at={m.at} first={first} own>
        {m.replyTo ? <Quote conversation={m.conversation} seq={m.replyTo} onJump={onJump} /> : null}
        <div className={m.state === "failed" ? "" : "opacity-70"}>
          <Body body={m.body} />
        </div>
        <span className="flex items-center gap-2">
          <StateSign state={m.state} />
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
      </Line>
    </article>
  );
}
