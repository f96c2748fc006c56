import { memo, useEffect, useState } from "react";
import { useTranslation } from "../../i18n";
import type { Summary } from "../../protocol/types";
import { draftPreview, lastOutgoing, unreadOf, useApp } from "../../state/app";
import { addressOf, navigate } from "../../state/route";
import { usePreview } from "../../text/usePreview";
import { Avatar } from "../../ui/controls";
import { OneLine } from "../../ui/OneLine";
import { PresenceDot } from "../../ui/PresenceDot";
import { formatShortTime } from "../../ui/time";
import { useToday } from "../../ui/useToday";
import { useConversationName, useDisplayName } from "../useDisplayName";

/** How long sending takes at most where nothing is wrong, in milliseconds. */
const usualSendTime = 1000;

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
  const outgoing = useApp((s) => lastOutgoing(s.outbox, c));
  const hasFailed = useApp((s) => s.outbox.some((m) => m.conversation === c.id && m.state === "failed"));
  const shown = outgoing ?? c.last;
  const text = usePreview(shown?.body ?? "");
  const preview = c.last?.deleted_at && !outgoing ? t("deleted") : shown ? text : c.topic || t("noMessages");
  const isOwn = outgoing || c.last?.sender === me;
  const author = isOwn ? t("youAlone") : c.last && c.kind !== "direct" ? sender : "";
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
          <span className={`flex min-w-0 flex-1 gap-1 ${unread ? "font-semibold" : "font-medium"}`}>
            {c.kind === "channel" && <span className="text-dim">#</span>}
            <OneLine>{name}</OneLine>
          </span>
          <time className="shrink-0 text-xs text-dim">
            {formatShortTime(outgoing?.at ?? c.active_at, i18n.language, t("yesterday"))}
          </time>
        </span>
        <span className="flex items-center gap-2">
          <span className={`flex min-w-0 flex-1 gap-1 text-sm ${typingUser ? "text-accent" : "text-dim"}`}>
            {typingUser ? (
              <OneLine>{t("typing", { count: 1, names: typingName })}</OneLine>
            ) : draft ? (
              <>
                <span className="shrink-0 text-accent">{t("draft")}</span> <OneLine>{draft}</OneLine>
              </>
            ) : (
              <>
                {outgoing?.state === "sending" && <SendingSign key={outgoing.id} />}
                {outgoing?.state === "failed" && (
                  <span className="shrink-0 text-danger">{t("notSentPreview")}</span>
                )}{" "}
                {author && <Author name={author} />} <OneLine>{preview || "\u00a0"}</OneLine>
              </>
            )}
          </span>
          {hasFailed && (
            <span
              role="img"
              aria-label={t("failed")}
              title={t("failed")}
              className="shrink-0 rounded-full bg-danger px-2 text-xs leading-5 font-bold text-bg"
            >
              !
            </span>
          )}
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

/** Who has written what follows. A long name leaves room for that. */
function Author({ name }: { name: string }) {
  return (
    <span className="flex max-w-1/2 shrink-0">
      <OneLine>{name}</OneLine>:
    </span>
  );
}

/** Says of a message that it is not sent yet, if that takes long. */
function SendingSign() {
  const { t } = useTranslation();
  const [isLong, setIsLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsLong(true), usualSendTime);
    return () => clearTimeout(timer);
  }, []);
  return isLong && <span className="shrink-0">{t("sendingPreview")}</span>;
}
