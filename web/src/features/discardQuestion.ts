import type { Translate } from "../i18n";
import type { Question } from "../ui/QuestionDialog";

/** The question before a message that was not sent is deleted. */
export function discardQuestion(t: Translate, discard: () => void): Question {
  return {
    title: t("discardQuestion"),
    consequence: t("discardHint"),
    action: t("discard"),
    run: async () => discard(),
  };
}
