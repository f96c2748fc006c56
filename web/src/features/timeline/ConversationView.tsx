import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { Message, Summary } from "../../protocol/types";
import type { OutboxMessage } from "../../sync/outbox";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { lazily } from "../../ui/lazily";
import { OneLine } from "../../ui/OneLine";
import { useQuestion } from "../../ui/useQuestion";
import { Composer, maxQuoted } from "../composer/Composer";
import { focusComposer } from "../composer/focus";
import { useReturnToList } from "../conversations/useReturnToList";
import { PeopleCards } from "../people/PeopleCards";
import { discardQuestion } from "../discardQuestion";
import { useConversationName, useDisplayName } from "../useDisplayName";
import { usePresenceText } from "../usePresenceText";
import { messageElement } from "./MessageMenu";
import { TimelineView } from "./TimelineView";

const MembersPanel = lazily(() => import("../members/MembersPanel").then((m) => m.MembersPanel));

export function ConversationView({ conversation: c }: { conversation: Summary }) {
  const { t } = useTranslation();
  useReturnToList();
  const me = useApp((s) => s.me)!.id;
  const { messages } = useSession();
  const [dialog, ask] = useQuestion();
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
  const askToDelete = useCallback(
    (m: Message) =>
      ask({
        title: t("deleteQuestion"),
        consequence: t("deleteHint"),
        action: t("delete"),
        run: () => messages.delete(m),
        finalFocus: () => messageElement(m.seq) ?? focusComposer(),
      }),
    [ask, messages, t],
  );
  const askToDiscard = useCallback(
    (m: OutboxMessage) => ask(discardQuestion(t, () => messages.discard(m.id))),
    [ask, messages, t],
  );
  const editLast = () => {
    const last = useApp
      .getState()
      .timelines[c.id]?.messages.findLast((m) => m.sender === me && !m.deleted_at);
    if (last) edit(last);
  };

  return (
    <PeopleCards>
      <header className="flex items-center gap-3 border-b border-line px-3 py-2">
        <Button kind="ghost" className="md:hidden" aria-label={t("back")} onClick={() => navigate("/")}>
          <Icon name="back" />
        </Button>
        <Avatar name={name} id={c.peer?.id ?? c.id} size={38} />
        <div className="min-w-0 flex-1">
          <h1 className="flex gap-1 leading-tight font-semibold">
            {c.kind === "channel" && <span className="text-dim">#</span>}
            <OneLine>{name}</OneLine>
          </h1>
          <p className="flex gap-1 text-sm text-dim">
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
        onDelete={askToDelete}
        onDiscard={askToDiscard}
      />
      <TypingIndicator conversation={c.id} />
      <Composer conversation={c} onSent={() => setSends((n) => n + 1)} onEditLast={editLast} />
      {members && <MembersPanel conversation={c} onClose={() => setMembers(false)} />}
      {dialog}
    </PeopleCards>
  );
}

function Subtitle({ conversation: c }: { conversation: Summary }) {
  const { t } = useTranslation();
  const presence = usePresenceText(c.peer?.id);
  if (c.kind === "direct") return <OneLine>{presence || "@" + c.peer?.name}</OneLine>;
  return (
    <>
      <span className="shrink-0">{t("members", { count: c.members })}</span>
      {c.topic && (
        <>
          {" · "}
          <OneLine>{c.topic}</OneLine>
        </>
      )}
    </>
  );
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
