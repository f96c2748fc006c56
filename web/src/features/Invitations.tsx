import { useCallback, useState } from "react";
import { useTranslation } from "../i18n";
import type { Invitation } from "../protocol/types";
import { useClient } from "../state/context";
import { pageURL } from "../state/route";
import { Button, ErrorMessage } from "../ui/controls";
import { CopyButton } from "../ui/CopyButton";
import { formatDateTime } from "../ui/time";
import { useQuestion } from "../ui/useQuestion";
import { useTask } from "../ui/useTask";
import { useLoad } from "./useLoad";

type Props = {
  /** Where they are in the REST API. */
  path: string;
  title: string;
  create: string;
  /** What is asked before one is revoked, and what that means. */
  question: string;
  consequence: string;
};

/** Makes and revokes invitations: to register, or to join a conversation. */
export function Invitations({ path, title, create, question, consequence }: Props) {
  const { t, i18n } = useTranslation();
  const { rest } = useClient();
  const [created, setCreated] = useState<Invitation | null>(null);
  const [dialog, ask] = useQuestion();
  const task = useTask();
  const fetchAll = useCallback(
    async () => (await rest.get<{ items: Invitation[] }>(path)).items,
    [rest, path],
  );
  const [invitations, load, loadError] = useLoad<Invitation[]>(fetchAll, []);
  const revoke = async ({ id }: Invitation) => {
    await rest.delete(`${path}/${id}`);
    setCreated((c) => (c?.id === id ? null : c));
    await load();
  };
  return (
    <section className="flex flex-col gap-2">
      <div className="flex items-center justify-between gap-2">
        <h2 className="font-semibold">{title}</h2>
        <Button
          disabled={task.busy}
          onClick={() =>
            void task.run(async () => (setCreated(await rest.post<Invitation>(path, {})), await load()))
          }
        >
          {create}
        </Button>
      </div>
      {(task.error || loadError) && <ErrorMessage>{task.error || loadError}</ErrorMessage>}
      {created?.url && <CopyButton key={created.url} text={pageURL(created.url)} />}
      <ul className="flex flex-col gap-1">
        {invitations.map((i) => (
          <li key={i.id} className="flex items-center gap-2 text-sm">
            <span className="flex-1 text-dim">
              {t("expires", { when: formatDateTime(i.expires_at, i18n.language) })} ·{" "}
              {i.uses ? t("uses", { count: i.uses }) : t("unused")}
            </span>
            <Button
              kind="danger"
              onClick={() => ask({ title: question, consequence, action: t("revoke"), run: () => revoke(i) })}
            >
              {t("revoke")}
            </Button>
          </li>
        ))}
      </ul>
      {dialog}
    </section>
  );
}
