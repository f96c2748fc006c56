import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Avatar, Button, ErrorMessage, Field } from "../../ui/controls";
import { OneLine } from "../../ui/OneLine";
import { PagedList } from "../../ui/PagedList";
import { useDebounced } from "../../ui/useDebounced";
import { useQuestion } from "../../ui/useQuestion";
import { useTask } from "../../ui/useTask";
import { usePages } from "../usePages";

/** All accounts of the installation, and what an administrator may do to them. */
export function Accounts() {
  const { t } = useTranslation();
  const { rest } = useClient();
  const me = useApp((s) => s.me)!;
  const task = useTask();
  const [dialog, ask] = useQuestion();
  const [text, setText] = useState("");
  const query = useDebounced(text.trim());
  const fetchPage = useCallback(
    (cursor: string) => rest.page<User>("/admin/users", query, cursor),
    [rest, query],
  );
  const users = usePages<User>(fetchPage);
  const update = async (u: User, changes: Partial<User>) => {
    await rest.patch("/admin/users/" + u.id, changes);
    await users.reload();
  };
  const askForAdmin = (u: User) =>
    ask({
      title: t(u.admin ? "takeAdminQuestion" : "makeAdminQuestion", { name: u.display_name }),
      consequence: t(u.admin ? "takeAdminHint" : "makeAdminHint", { name: u.display_name }),
      action: t(u.admin ? "takeAdmin" : "makeAdmin"),
      run: () => update(u, { admin: !u.admin }),
    });
  const askToLock = (u: User) =>
    ask({
      title: t("lockQuestion", { name: u.display_name }),
      consequence: t("lockHint", { name: u.display_name }),
      action: t("lock"),
      run: () => update(u, { disabled: true }),
    });
  return (
    <section aria-label={t("accounts")} className="flex min-h-0 flex-1 flex-col gap-3">
      <Field
        label={t("searchAccounts")}
        type="search"
        value={text}
        onChange={(e) => setText(e.target.value)}
      />
      {(task.error || users.error) && <ErrorMessage>{task.error || users.error}</ErrorMessage>}
      {users.loaded && users.items.length === 0 && <p className="text-sm text-dim">{t("noPeople")}</p>}
      <div className="min-h-0 flex-1">
        <PagedList label={t("accounts")} pages={users} maxHeight="max-h-full">
          {(u) => (
            <AccountRow
              key={u.id}
              user={u}
              isMe={u.id === me.id}
              onAdmin={() => askForAdmin(u)}
              onLock={() => askToLock(u)}
              onUnlock={() => void task.run(() => update(u, { disabled: false }))}
            />
          )}
        </PagedList>
      </div>
      {dialog}
    </section>
  );
}

type RowProps = {
  user: User;
  isMe: boolean;
  onAdmin: () => void;
  onLock: () => void;
  onUnlock: () => void;
};

function AccountRow({ user: u, isMe, onAdmin, onLock, onUnlock }: RowProps) {
  const { t } = useTranslation();
  const label = (action: string) => `${action}: ${u.display_name}`;
  const states = [isMe && t("you"), u.admin && t("administrator")].filter(Boolean).join(" · ");
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b border-line py-2 pr-1 text-sm">
      <Avatar name={u.display_name} id={u.id} size={34} />
      <span className="min-w-40 flex-1">
        <span className="flex gap-2">
          <span className="flex min-w-0 font-medium">
            <OneLine>{u.display_name}</OneLine>
          </span>
          {states && <span className="shrink-0 text-dim">{states}</span>}
          {u.disabled && <span className="shrink-0 text-danger">{t("locked")}</span>}
        </span>
        <span className="block truncate text-dim">@{u.name}</span>
      </span>
      {!isMe && (
        <span className="flex flex-wrap gap-2">
          <Button aria-label={label(t(u.admin ? "takeAdmin" : "makeAdmin"))} onClick={onAdmin}>
            {t(u.admin ? "takeAdmin" : "makeAdmin")}
          </Button>
          {u.disabled ? (
            <Button aria-label={label(t("unlock"))} onClick={onUnlock}>
              {t("unlock")}
            </Button>
          ) : (
            <Button kind="danger" aria-label={label(t("lock"))} onClick={onLock}>
              {t("lock")}
            </Button>
          )}
        </span>
      )}
    </div>
  );
}
