import { useCallback, useEffect, useState, type FormEvent } from "react";
import { useTranslation } from "../../i18n";
import type { Member, Summary, User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button, ErrorMessage, Field } from "../../ui/controls";
import { Modal } from "../../ui/Modal";
import { OneLine } from "../../ui/OneLine";
import { PagedList } from "../../ui/PagedList";
import { PresenceDot } from "../../ui/PresenceDot";
import { useDebounced } from "../../ui/useDebounced";
import { Invitations } from "../Invitations";
import { usePages } from "../usePages";
import { useQuestion } from "../../ui/useQuestion";
import { useTask } from "../../ui/useTask";
import { PeopleCards, PersonButton } from "../people/PeopleCards";
import { PeoplePicker } from "../conversations/PeoplePicker";

type Props = { conversation: Summary; onClose: () => void };

/** A list that is longer than this can be searched. */
const searchFrom = 10;

export function MembersPanel({ conversation: c, onClose }: Props) {
  const { t } = useTranslation();
  const { conversations, presence, users } = useSession();
  const me = useApp((s) => s.me)!.id;
  const [adding, setAdding] = useState(false);
  const [dialog, ask] = useQuestion();
  const task = useTask();
  const isManager = c.role === "owner" || c.role === "admin";

  const [text, setText] = useState("");
  const query = useDebounced(text.trim());
  const askMembers = useCallback(
    (cursor: string) =>
      users.addFrom(conversations.members(c.id, query, cursor), (page) => page.items.map((m) => m.user)),
    [conversations, users, c.id, query],
  );
  const members = usePages<Member>(askMembers, c.members_rev);
  const watch = useCallback(
    (inView: Member[]) => presence.setVisibleMembers(inView.map((m) => m.user.id)),
    [presence],
  );
  useEffect(() => () => presence.setVisibleMembers([]), [presence]);

  const runAndReload = (f: () => Promise<unknown>) =>
    void task.run(async () => (await f(), await members.reload()));

  const askForRole = ({ id, display_name: name }: User, role: Member["role"]) =>
    ask({
      title: t("roleQuestion", { name, role: t(role) }),
      consequence:
        id === me
          ? t("twoSentences", { first: t(`${role}Hint`), second: t("ownRoleHint") })
          : t(`${role}Hint`),
      action: t("changeRole"),
      run: async () => (await conversations.setRole(c.id, id, role), await members.reload()),
    });
  const askToRemove = ({ id, display_name: name }: User) =>
    ask({
      title: t("removeQuestion", { name, title: c.title }),
      consequence: t(c.kind === "channel" ? "removeFromChannelHint" : "removeHint", { name }),
      action: t("remove"),
      run: async () => (await conversations.removeMember(c.id, id), await members.reload()),
    });
  const askToLeave = () =>
    ask({
      title: t("leaveQuestion"),
      consequence: t(
        c.kind === "channel" ? "leaveChannelHint" : c.members > 1 ? "leaveHint" : "leaveLastHint",
      ),
      action: t("leave"),
      run: async () => {
        await conversations.leave(c.id);
        onClose();
        navigate("/");
      },
    });

  return (
    <Modal side open title={c.title} onClose={onClose}>
      {(task.error || members.error) && <ErrorMessage>{task.error || members.error}</ErrorMessage>}
      {isManager && <Details conversation={c} />}
      <section className="flex flex-col gap-2">
        <div className="flex items-center justify-between gap-2">
          <h2 className="font-semibold">{t("members", { count: c.members })}</h2>
          <Button onClick={() => setAdding(!adding)}>{t("addPeople")}</Button>
        </div>
        {adding && (
          <PeoplePicker
            picked={[]}
            exclude={members.items.map((m) => m.user.id)}
            onPick={(u: User) => runAndReload(() => conversations.addMembers(c.id, [u.id]))}
          />
        )}
        {(c.members > searchFrom || text) && (
          <Field
            label={t("searchMembers")}
            type="search"
            value={text}
            onChange={(e) => setText(e.target.value)}
          />
        )}
        {members.loaded && members.items.length === 0 && <p className="text-sm text-dim">{t("noPeople")}</p>}
        <PeopleCards>
          <PagedList label={t("members", { count: c.members })} pages={members} onView={watch}>
            {(m) => (
              <MemberRow
                key={m.user.id}
                member={m}
                isMe={m.user.id === me}
                canChangeRole={c.role === "owner"}
                canRemove={
                  m.user.id !== me && (c.role === "owner" || (c.role === "admin" && m.role === "member"))
                }
                onRoleChange={(role) => askForRole(m.user, role)}
                onRemove={() => askToRemove(m.user)}
              />
            )}
          </PagedList>
        </PeopleCards>
      </section>
      {isManager && <Links conversation={c.id} />}
      <section className="border-t border-line pt-4">
        <Button kind="danger" onClick={askToLeave}>
          {t("leave")}
        </Button>
      </section>
      {dialog}
    </Modal>
  );
}

function Details({ conversation: c }: { conversation: Summary }) {
  const { t } = useTranslation();
  const { conversations } = useSession();
  const [title, setTitle] = useState(c.title);
  const [topic, setTopic] = useState(c.topic ?? "");
  const task = useTask();
  const changed = title !== c.title || topic !== (c.topic ?? "");
  const submit = (e: FormEvent) => {
    e.preventDefault();
    void task.run(() => conversations.update(c.id, title, topic));
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-3">
      <Field
        label={t("title")}
        value={title}
        onChange={(e) => setTitle(e.target.value)}
        required
        maxLength={80}
      />
      <Field label={t("topic")} value={topic} onChange={(e) => setTopic(e.target.value)} maxLength={250} />
      {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
      {changed && (
        <Button kind="primary" type="submit" disabled={task.busy}>
          {t("save")}
        </Button>
      )}
    </form>
  );
}

type RowProps = {
  member: Member;
  isMe: boolean;
  canChangeRole: boolean;
  canRemove: boolean;
  onRoleChange: (role: Member["role"]) => void;
  onRemove: () => void;
};

function MemberRow({ member: m, isMe, canChangeRole, canRemove, onRoleChange, onRemove }: RowProps) {
  const { t } = useTranslation();
  const presence = useApp((s) => s.presence[m.user.id]?.state);
  return (
    <div className="flex items-center gap-3 rounded-xl px-1 py-1.5">
      <PersonButton
        user={m.user.id}
        className="flex min-w-0 flex-1 items-center gap-3 rounded-lg text-left hover:bg-panel"
      >
        <span className="relative">
          <Avatar name={m.user.display_name} id={m.user.id} size={34} />
          <PresenceDot presence={presence} className="h-2.5 w-2.5 border-bg" />
        </span>
        <span className="min-w-0 flex-1">
          <span className="flex gap-1">
            <OneLine>{m.user.display_name}</OneLine>{" "}
            {isMe && <span className="shrink-0 text-dim">({t("you")})</span>}
          </span>
          <OneLine className="text-sm text-dim">@{m.user.name}</OneLine>
        </span>
      </PersonButton>
      {canChangeRole ? (
        <select
          aria-label={`${t("role")}: ${m.user.display_name}`}
          value={m.role}
          onChange={(e) => onRoleChange(e.target.value as Member["role"])}
          className="rounded-lg border border-line bg-bg px-2 py-1 text-sm"
        >
          {(["owner", "admin", "member"] as const).map((r) => (
            <option key={r} value={r}>
              {t(r)}
            </option>
          ))}
        </select>
      ) : (
        m.role !== "member" && <span className="text-sm text-dim">{t(m.role)}</span>
      )}
      {canRemove && (
        <Button
          kind="danger"
          aria-label={`${t("remove")}: ${m.user.display_name}`}
          onClick={onRemove}
          className="text-sm"
        >
          {t("remove")}
        </Button>
      )}
    </div>
  );
}

function Links({ conversation }: { conversation: string }) {
  const { t } = useTranslation();
  return (
    <Invitations
      path={`/conversations/${conversation}/links`}
      title={t("invitationLinks")}
      create={t("newLink")}
      question={t("revokeLinkQuestion")}
      consequence={t("revokeLinkHint")}
    />
  );
}
