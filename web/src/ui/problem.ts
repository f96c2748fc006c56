import type { Translate } from "../i18n";
import { Problem } from "../net/rest";

/** What a refusal says of itself to programs. */
type Refusal = { code: string; field?: string; retryAfterMs?: number };

/** Returns a refusal in the reader's language: the sentence of its code for the field
 * that it is about, or else that of its code. The server's own sentence is English,
 * and for programmers. */
export function refusalText(t: Translate, { code, field, retryAfterMs = 0 }: Refusal): string {
  if (code === "offline" && !navigator.onLine) return t("youAreOffline");
  const values = { seconds: Math.ceil(retryAfterMs / 1000), defaultValue: "" };
  return t(`code_${code}_${field}`, values) || t(`code_${code}`, values) || t("code_internal");
}

/** Returns in the reader's language what a Problem says; any other error is a defect
 * of the page. */
export function errorText(t: Translate, e: unknown): string {
  return e instanceof Problem ? refusalText(t, e) : t("code_defect");
}
