import { memo } from "react";
import { useTranslation } from "../../i18n";
import type { Summary } from "../../protocol/types";
import { draftPreview, unreadOf, useApp } from "../../state/app";
import { addressOf, navigate } from "../../state/route";
import { usePreview } from "../../text/usePreview";
import { Avatar } from "../../ui/controls";
import { PresenceDot } from "../../ui/PresenceDot";
import { formatShortTime } from "../../ui/time";
import { useToday } from "../../ui/useToday";
import { useConversationName, useDisplayName } from "../useDisplayName";

type Props = {
  id: string;
  selected: boolean;
  /** Whether it is the row of the list that the tab key comes to. */
  tabbable: boolean;
};

/** A row of the list of conversations. It renders when something that it shows changes. */
export const ConversationRow = memo(function ConversationRow({ id, selected, tabbable }: Props) {
  const c = useApp((s) => s.conversations[id]);
  return c ? <Row conversation={c} selected={selected} tabbable={tabbable} /> : null;
});

function Row({
  conversation: c,
  selected,
  tabbable,
}: {
  conversation: Summary;
  selected: boolean;
  tabbable: boolean;
}) {
  const { t, i18n } = useTranslation();
  useToday(); // the time of the last message is told by it
  const unread = useApp((s) => unreadOf(c, s.localReadMarks[c.id] ?? 0));
  const presence = useApp((s) => (c.kind === "direct" && c.peer ? s.presence[c.peer.id]?.state : undefined));
  const typingUser = useApp((s) => Object.keys(s.typing[c.id] ?? {})[0]);
  const me = useApp((s) => s.me!.id);
  const typingName = useDisplayName(typingUser);
  const sender = useDisplayName(c.last?.sender);
  const name = useConversationName(c);
  const draft = useApp((s) => (selected ? "" : draftPreview(s.drafts[c.id])));
  const last = usePreview(c.last?.body ?? "");
  const preview = c.last?.deleted_at ? t("deleted") : c.last ? last : (c.topic ?? "");
  const prefix = c.last && c.kind !== "direct" ? (c.last.sender === me ? t("you") : sender) + ": " : "";
  return (
    <a
      href={addressOf("/c/" + c.id)}
      data-conversation={c.id}
      tabIndex={tabbable ? 0 : -1}
      aria-current={selected ? "page" : undefined}
      onClick={(e) => {
        e.preventDefault();
        navigate("/c/" + c.id);
      }}
      className={`flex items-center gap-3 rounded-xl px-2 py-2 ${selected ? "bg-accent-soft" : "hover:bg-line/50"}`}
    >
      <span className="relative">
        <Avatar name={name} id={c.peer?.id ?? c.id} size={40} />
        <PresenceDot presence={presence} className="h-3 w-3 border-panel" />
      </span>
      <span className="min-w-0 flex-1">
        <span className="flex items-baseline gap-2">
          <span className={`flex-1 truncate ${unread ? "font-semibold" : "font-medium"}`}>
            {c.kind === "channel" && <span className="text-dim"># </span>}
            <bdi>{name}</bdi>
          </span>
          <time className="shrink-0 text-xs text-dim">
            {formatShortTime(c.active_at, i18n.language, t("yesterday"))}
          </time>
        </span>
        <span className="flex items-center gap-2">
          <span className={`flex-1 truncate text-sm ${typingUser ? "text-accent" : "text-dim"}`}>
            {typingUser ? (
              t("typing", { count: 1, names: typingName })
            ) : draft ? (
              <>
                <span className="text-accent">{t("draft")}</span> {draft}
              </>
            ) : (
              <>
                {prefix}
                <bdi>{preview || "\u00a0"}</bdi>
              </>
            )}
          </span>
          {unread > 0 && (
            <span
              aria-label={t("unread", { count: unread })}
              className="min-w-5 shrink-0 rounded-full bg-accent px-1.5 text-center text-xs leading-5 font-semibold text-accent-fg"
            >
              {unread > 99 ? "99+" : unread}
            </span>
          )}
        </span>
      </span>
    </a>
  );
}
