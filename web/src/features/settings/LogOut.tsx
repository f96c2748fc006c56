import { useState } from "react";
import { useTranslation } from "../../i18n";
import { unsent, useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { Button } from "../../ui/controls";
import { Modal } from "../../ui/Modal";

/** Logs out; asks before that when messages would be lost. */
export function LogOut() {
  const { t } = useTranslation();
  const client = useClient();
  const [asks, setAsks] = useState(false);
  const [busy, setBusy] = useState(false);
  const count = useApp((s) => unsent(s.outbox).length);
  const logOut = async (discardUnsent: boolean) => {
    setBusy(true);
    setAsks((await client.logOut(discardUnsent)) > 0);
    setBusy(false);
  };
  return (
    <>
      <Button kind="danger" disabled={busy} onClick={() => void logOut(false)}>
        {t("logout")}
      </Button>
      <Modal open={asks} title={t("logout")} onClose={() => setAsks(false)}>
        <p role="status">{count > 0 ? t("logOutQuestion", { count }) : t("allSent")}</p>
        <div className="flex flex-wrap justify-end gap-2">
          <Button disabled={busy} onClick={() => setAsks(false)}>
            {t("stayLoggedIn")}
          </Button>
          <Button kind="danger" disabled={busy} onClick={() => void logOut(true)}>
            {count > 0 ? t("logOutAndDelete") : t("logout")}
          </Button>
        </div>
      </Modal>
    </>
  );
}
