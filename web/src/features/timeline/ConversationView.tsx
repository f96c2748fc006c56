import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { Message, Summary } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button, ErrorMessage } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { lazily } from "../../ui/lazily";
import { Modal } from "../../ui/Modal";
import { formatDateTime } from "../../ui/time";
import { useTask } from "../../ui/useTask";
import { Composer, maxQuoted } from "../composer/Composer";
import { focusComposer } from "../composer/focus";
import { useConversationName, useDisplayName } from "../useDisplayName";
import { messageElement } from "./MessageMenu";
import { TimelineView } from "./TimelineView";

const MembersPanel = lazily(() => import("../members/MembersPanel").then((m) => m.MembersPanel));

export function ConversationView({ conversation: c }: { conversation: Summary }) {
  const { t } = useTranslation();
  const me = useApp((s) => s.me)!.id;
  const { messages } = useSession();
  const [deleting, setDeleting] = useState<Message | null>(null);
  const [sends, setSends] = useState(0);
  const subject = useApp((s) => s.drafts[c.id]?.edit?.seq ?? s.drafts[c.id]?.replyTo?.seq ?? 0);
  const [members, setMembers] = useState(false);
  const name = useConversationName(c);

  const reply = useCallback(
    ({ seq, sender, body }: Message) => {
      const replyTo = { seq, sender, body: body.slice(0, maxQuoted) };
      messages.changeDraft(c.id, { replyTo, edit: undefined });
      focusComposer();
    },
    [messages, c.id],
  );
  const edit = useCallback(
    ({ seq, body }: Message) => {
      messages.changeDraft(c.id, { edit: { seq, text: body } });
      focusComposer();
    },
    [messages, c.id],
  );
  const editLast = () => {
    const last = useApp
      .getState()
      .timelines[c.id]?.messages.findLast((m) => m.sender === me && !m.deleted_at);
    if (last) edit(last);
  };

  return (
    <>
      <header className="flex items-center gap-3 border-b border-line px-3 py-2">
        <Button kind="ghost" className="md:hidden" aria-label={t("back")} onClick={() => navigate("/")}>
          <Icon name="back" />
        </Button>
        <Avatar name={name} id={c.peer?.id ?? c.id} size={38} />
        <div className="min-w-0 flex-1">
          <h1 className="truncate leading-tight font-semibold">
            {c.kind === "channel" && <span className="text-dim"># </span>}
            <bdi>{name}</bdi>
          </h1>
          <p className="truncate text-sm text-dim">
            <Subtitle conversation={c} />
          </p>
        </div>
        {c.kind !== "direct" && (
          <Button
            kind="ghost"
            aria-label={t("showMembers")}
            title={t("showMembers")}
            onClick={() => setMembers(true)}
          >
            <Icon name="people" />
          </Button>
        )}
      </header>
      <TimelineView
        conversation={c}
        subject={subject}
        sends={sends}
        onReply={reply}
        onEdit={edit}
        onDelete={setDeleting}
      />
      <TypingIndicator conversation={c.id} />
      <Composer conversation={c} onSent={() => setSends((n) => n + 1)} onEditLast={editLast} />
      {members && <MembersPanel conversation={c} onClose={() => setMembers(false)} />}
      {deleting && <DeleteDialog message={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

function Subtitle({ conversation: c }: { conversation: Summary }) {
  const { t, i18n } = useTranslation();
  const presence = useApp((s) => (c.peer ? s.presence[c.peer.id] : undefined));
  if (c.kind !== "direct")
    return <>{t("members", { count: c.members }) + (c.topic ? " · " + c.topic : "")}</>;
  if (!presence) return <>@{c.peer?.name}</>;
  if (presence.state === "offline" && presence.last_seen)
    return <>{t("lastSeen", { when: formatDateTime(presence.last_seen, i18n.language) })}</>;
  return <>{t(presence.state)}</>;
}

function TypingIndicator({ conversation }: { conversation: string }) {
  const { t } = useTranslation();
  const typing = useApp((s) => s.typing[conversation]);
  const users = Object.keys(typing ?? {});
  const one = useDisplayName(users[0]);
  const two = useDisplayName(users[1]);
  const names = users.length > 2 ? `${one}, ${two} …` : users.length === 2 ? `${one}, ${two}` : one;
  return (
    <p data-typing className="h-5 truncate px-4 text-sm text-dim">
      {users.length > 0 && t("typing", { count: users.length, names })}
    </p>
  );
}

function DeleteDialog({ message, onClose }: { message: Message; onClose: () => void }) {
  const { t } = useTranslation();
  const { messages } = useSession();
  const task = useTask();
  return (
    <Modal
      open
      title={t("deleteQuestion")}
      onClose={onClose}
      finalFocus={() => messageElement(message.seq) ?? focusComposer()}
    >
      <p className="text-dim">{t("deleteHint")}</p>
      {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{t("cancel")}</Button>
        <Button
          kind="danger"
          disabled={task.busy}
          onClick={() => void task.run(() => messages.delete(message)).then((ok) => ok && onClose())}
        >
          {t("delete")}
        </Button>
      </div>
    </Modal>
  );
}
