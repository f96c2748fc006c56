import { useState } from "react";
import { useTranslation } from "../i18n";
import { copyText } from "./clipboard";

/** Returns a function that copies a text, and the words on its button: whether that
 * has been done, or could not be. */
export function useCopy(): [label: string, copy: (text: string) => void] {
  const { t } = useTranslation();
  const [outcome, setOutcome] = useState<"copy" | "copied" | "copyFailed">("copy");
  return [t(outcome), (text) => void copyText(text).then((ok) => setOutcome(ok ? "copied" : "copyFailed"))];
}
