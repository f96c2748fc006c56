import { useTranslation } from "../../i18n";
import type { User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Button, ErrorMessage } from "../../ui/controls";
import { useTask } from "../../ui/useTask";
import { EntranceLayout } from "./EntranceLayout";

/** Says that the browser is logged in as somebody whose page this is not. */
export function OtherAccount({ by, from }: { by: User; from: User | null }) {
  const { t } = useTranslation();
  const client = useClient();
  const task = useTask();
  const lost = useApp((s) => s.lost);
  return (
    <EntranceLayout>
      <section
        aria-labelledby="other-account"
        className="flex w-full max-w-sm flex-col gap-4 rounded-2xl border border-line bg-bg p-6 shadow-sm"
      >
        <h2 id="other-account" className="text-lg font-semibold break-words">
          {t("loggedInAs", { name: by.display_name })}
        </h2>
        <p className="text-sm break-words text-dim">
          {lost > 0
            ? t("messagesLost", { count: lost })
            : from
              ? t("otherAccountHint", { name: by.display_name, former: from.display_name })
              : t("oneAccountHint")}
        </p>
        {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
        <Button
          kind="primary"
          disabled={task.busy}
          onClick={() => void task.run(() => client.continueAs(by))}
        >
          {t("continueAs", { name: "@" + by.name })}
        </Button>
        <Button className="py-2" disabled={task.busy} onClick={() => client.logInAsOther()}>
          {from ? t("logInAgainAs", { name: "@" + from.name }) : t("logInAsOther")}
        </Button>
      </section>
    </EntranceLayout>
  );
}
