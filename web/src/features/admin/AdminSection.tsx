import { useCallback, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Invitation, User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Button, ErrorLine } from "../../ui/controls";
import { CopyButton } from "../../ui/CopyButton";
import { dateTime } from "../../ui/time";
import { useTask } from "../../ui/useTask";

/** What administrators of the installation can do. */
export function AdminSection() {
  const { t } = useTranslation();
  return (
    <section className="flex flex-col gap-4 border-t border-line pt-4">
      <h2 className="font-semibold">{t("administration")}</h2>
      <Accounts />
      <Invitations />
    </section>
  );
}

function Accounts() {
  const { t } = useTranslation();
  const { rest } = useClient();
  const me = useApp((s) => s.me)!;
  const [users, setUsers] = useState<User[]>([]);
  const task = useTask();
  const load = useCallback(async () => setUsers(await rest.getAll<User>("/admin/users")), [rest]);
  useEffect(() => {
    void load().catch(() => {});
  }, [load]);
  const change = (u: User, what: Partial<User>) =>
    void task.run(async () => (await rest.patch("/admin/users/" + u.id, what), await load()));
  return (
    <div className="flex flex-col gap-2">
      <h3 className="text-sm font-medium">{t("accounts")}</h3>
      {task.error && <ErrorLine>{task.error}</ErrorLine>}
      <ul className="flex flex-col gap-2">
        {users.map((u) => (
          <li key={u.id} className="flex flex-wrap items-center gap-2 text-sm">
            <span className="min-w-32 flex-1 truncate">
              {u.display_name} <span className="text-dim">@{u.name}</span>
              {u.admin && <span className="text-dim"> · {t("administrator")}</span>}
              {u.disabled && <span className="text-danger"> · {t("locked")}</span>}
            </span>
            {u.id !== me.id && (
              <>
                <Button onClick={() => change(u, { admin: !u.admin })}>
                  {u.admin ? t("takeAdmin") : t("makeAdmin")}
                </Button>
                <Button kind="danger" onClick={() => change(u, { disabled: !u.disabled })}>
                  {u.disabled ? t("unlock") : t("lock")}
                </Button>
              </>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Invitations() {
  const { t, i18n } = useTranslation();
  const { rest } = useClient();
  const [invitations, setInvitations] = useState<Invitation[]>([]);
  const [fresh, setFresh] = useState<Invitation | null>(null);
  const task = useTask();
  const load = useCallback(
    async () => setInvitations((await rest.get<{ items: Invitation[] }>("/invitations")).items),
    [rest],
  );
  useEffect(() => {
    void load().catch(() => {});
  }, [load]);
  return (
    <div className="flex flex-col gap-2">
      <h3 className="flex items-center justify-between text-sm font-medium">
        {t("invitations")}
        <Button
          disabled={task.busy}
          onClick={() =>
            void task.run(
              async () => (setFresh(await rest.post<Invitation>("/invitations", {})), await load()),
            )
          }
        >
          {t("newInvitation")}
        </Button>
      </h3>
      {task.error && <ErrorLine>{task.error}</ErrorLine>}
      {fresh?.url && <CopyButton text={location.origin + fresh.url} />}
      <ul className="flex flex-col gap-1">
        {invitations.map((i) => (
          <li key={i.id} className="flex items-center gap-2 text-sm">
            <span className="flex-1 text-dim">
              {t("expires", { when: dateTime(i.expires_at, i18n.language) })} · {t("uses", { count: i.uses })}
            </span>
            <Button
              kind="danger"
              onClick={() =>
                void task.run(async () => (await rest.delete("/invitations/" + i.id), await load()))
              }
            >
              {t("revoke")}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
