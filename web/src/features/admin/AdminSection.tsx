import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { Invitation, User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { CopyButton } from "../../ui/CopyButton";
import { formatDateTime } from "../../ui/time";
import { PagedList } from "../../ui/PagedList";
import { useDebounced } from "../../ui/useDebounced";
import { useTask } from "../../ui/useTask";
import { useLoad } from "../useLoad";
import { usePages } from "../usePages";

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
  const task = useTask();
  const [text, setText] = useState("");
  const query = useDebounced(text.trim());
  const ask = useCallback((cursor: string) => rest.page<User>("/admin/users", query, cursor), [rest, query]);
  const users = usePages<User>(ask);
  const update = (u: User, changes: Partial<User>) =>
    void task.run(async () => (await rest.patch("/admin/users/" + u.id, changes), await users.reload()));
  return (
    <div className="flex flex-col gap-2">
      <h3 className="text-sm font-medium">{t("accounts")}</h3>
      {(task.error || users.error) && <ErrorMessage>{task.error || users.error}</ErrorMessage>}
      {(users.hasMore || text) && (
        <Field
          label={t("searchAccounts")}
          type="search"
          value={text}
          onChange={(e) => setText(e.target.value)}
        />
      )}
      {users.loaded && users.items.length === 0 && <p className="text-sm text-dim">{t("noPeople")}</p>}
      <PagedList label={t("accounts")} pages={users}>
        {(u) => (
          <div key={u.id} className="flex flex-wrap items-center gap-2 pb-2 text-sm">
            <span className="min-w-32 flex-1 break-words">
              <bdi>{u.display_name}</bdi> <bdi className="text-dim">@{u.name}</bdi>
              {u.admin && <span className="text-dim"> · {t("administrator")}</span>}
              {u.disabled && <span className="text-danger"> · {t("locked")}</span>}
            </span>
            {u.id !== me.id && (
              <>
                <Button onClick={() => update(u, { admin: !u.admin })}>
                  {u.admin ? t("takeAdmin") : t("makeAdmin")}
                </Button>
                <Button kind="danger" onClick={() => update(u, { disabled: !u.disabled })}>
                  {u.disabled ? t("unlock") : t("lock")}
                </Button>
              </>
            )}
          </div>
        )}
      </PagedList>
    </div>
  );
}

function Invitations() {
  const { t, i18n } = useTranslation();
  const { rest } = useClient();
  const [created, setCreated] = useState<Invitation | null>(null);
  const task = useTask();
  const ask = useCallback(
    async () => (await rest.get<{ items: Invitation[] }>("/invitations")).items,
    [rest],
  );
  const [invitations, load, loadError] = useLoad<Invitation[]>(ask, []);
  return (
    <div className="flex flex-col gap-2">
      <h3 className="flex items-center justify-between text-sm font-medium">
        {t("invitations")}
        <Button
          disabled={task.busy}
          onClick={() =>
            void task.run(
              async () => (setCreated(await rest.post<Invitation>("/invitations", {})), await load()),
            )
          }
        >
          {t("newInvitation")}
        </Button>
      </h3>
      {(task.error || loadError) && <ErrorMessage>{task.error || loadError}</ErrorMessage>}
      {created?.url && <CopyButton key={created.url} text={location.origin + created.url} />}
      <ul className="flex flex-col gap-1">
        {invitations.map((i) => (
          <li key={i.id} className="flex items-center gap-2 text-sm">
            <span className="flex-1 text-dim">
              {t("expires", { when: formatDateTime(i.expires_at, i18n.language) })} ·{" "}
              {t("uses", { count: i.uses })}
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
