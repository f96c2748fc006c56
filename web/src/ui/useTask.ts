import { useCallback, useState } from "react";
import { useTranslation } from "../i18n";
import { Problem } from "../net/rest";

/** Runs requests to the server, and translates the Problem of one that
 * fails. Any other error is a defect of the page: it is logged, and the user
 * is told that something went wrong. */
export function useTask() {
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [field, setField] = useState("");
  const run = useCallback(
    async (task: () => Promise<unknown>): Promise<boolean> => {
      setBusy(true);
      setError("");
      setField("");
      try {
        await task();
        return true;
      } catch (e) {
        if (!(e instanceof Problem)) {
          console.error(e);
          setError(t("code_internal"));
          return false;
        }
        setField(e.field ?? "");
        setError(t("code_" + e.code, { detail: e.message, defaultValue: e.message }));
        return false;
      } finally {
        setBusy(false);
      }
    },
    [t],
  );
  return { busy, error, field, run, clear: () => setError("") };
}
