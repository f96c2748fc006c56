import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "../i18n";
import { Problem } from "../net/rest";
import { useApp } from "../state/app";
import { errorText } from "../ui/problem";

/** Loads what a component shows, at first and when ask or version change, and
 * returns it with a function that loads it again, and with what went wrong, if it
 * could not be loaded: that is tried again when there is a connection. Answers may
 * come in any order: one to an earlier question does not replace one to a later. */
export function useLoad<T>(
  ask: () => Promise<T>,
  initial: T,
  version?: number,
): [answer: T, load: () => Promise<void>, error: string] {
  const { t } = useTranslation();
  const [answer, setAnswer] = useState(initial);
  const [problem, setProblem] = useState<unknown>(null);
  const isConnected = useApp((s) => s.connection === "open");
  /** Numbers of the latest question, and of the one whose answer is shown. */
  const numbers = useRef({ asked: 0, shown: 0 });
  const hasFailed = useRef(false);
  const load = useCallback(async () => {
    const number = ++numbers.current.asked;
    const a = await ask();
    if (number < numbers.current.shown) return;
    numbers.current.shown = number;
    setAnswer(a);
    setProblem(null);
    hasFailed.current = false;
  }, [ask]);
  const loadAndTell = useCallback(() => {
    const number = numbers.current.asked + 1;
    return load().catch((e) => {
      if (number < numbers.current.shown) return;
      if (!(e instanceof Problem)) console.error(e);
      setProblem(e); // what was shown stays
      hasFailed.current = true;
    });
  }, [load]);
  useEffect(() => {
    const n = numbers.current;
    hasFailed.current = false;
    void loadAndTell();
    return () => {
      n.shown = n.asked + 1; // nothing that is under way is shown any more
    };
  }, [loadAndTell, version]);
  useEffect(() => {
    if (isConnected && hasFailed.current) void loadAndTell();
  }, [isConnected, loadAndTell]);
  return [answer, load, problem === null ? "" : errorText(t, problem)];
}
