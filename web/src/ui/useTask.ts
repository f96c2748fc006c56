import { useCallback, useState } from "react";
import { useTranslation } from "../i18n";
import { Problem } from "../net/rest";
import { errorText } from "./problem";

/** Runs requests to the server, and tells in the reader's language what went wrong
 * with the last one. */
export function useTask() {
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const clear = useCallback(() => setProblem(null), []);
  const run = useCallback(async (task: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setProblem(null);
    try {
      await task();
      return true;
    } catch (e) {
      if (!(e instanceof Problem)) console.error(e);
      setProblem(e);
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  const error = problem === null ? "" : errorText(t, problem);
  const { code = "", field = "" } = problem instanceof Problem ? problem : {};
  return { busy, error, code, field, run, clear };
}
