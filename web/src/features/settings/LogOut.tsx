import { useState } from "react";
import { useTranslation } from "../../i18n";
import { unsent, useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Button } from "../../ui/controls";
import { QuestionDialog } from "../../ui/QuestionDialog";

/** Logs out; asks before that when messages would be lost. */
export function LogOut() {
  const { t } = useTranslation();
  const client = useClient();
  const [asks, setAsks] = useState(false);
  const [busy, setBusy] = useState(false);
  const count = useApp((s) => unsent(s.outbox).length);
  const logOut = async () => {
    setBusy(true);
    setAsks((await client.logOut()) > 0);
    setBusy(false);
  };
  return (
    <>
      <Button kind="danger" disabled={busy} onClick={() => void logOut()}>
        {t("logout")}
      </Button>
      {asks && (
        <QuestionDialog
          title={t("logout")}
          consequence={count > 0 ? t("logOutQuestion", { count }) : t("allSent")}
          action={count > 0 ? t("logOutAndDelete") : t("logout")}
          cancel={t("stayLoggedIn")}
          run={() => client.logOut(true)}
          onClose={() => setAsks(false)}
        />
      )}
    </>
  );
}
