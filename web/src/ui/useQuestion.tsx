import { useState, type ReactNode } from "react";
import { lazily } from "./lazily";
import type { Question } from "./QuestionDialog";

const QuestionDialog = lazily(() => import("./QuestionDialog").then((m) => m.QuestionDialog));

/** Returns a place for a question, and a function that asks one there. */
export function useQuestion(): [dialog: ReactNode, ask: (q: Question) => void] {
  const [question, ask] = useState<Question | null>(null);
  return [question && <QuestionDialog {...question} onClose={() => ask(null)} />, ask];
}
