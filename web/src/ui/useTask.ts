import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../net/rest";

/** Runs requests to the server, and translates the Problem of one that fails. */
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
        if (!(e instanceof Problem)) throw e;
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
