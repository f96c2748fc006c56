import { useCallback, useEffect, useRef, useState } from "react";

/** Loads what a component shows, at first and when ask or version change, and
 * returns it with a function that loads it again. Answers may come in any order:
 * one to an earlier question does not replace one to a later. */
export function useLoad<T>(ask: () => Promise<T>, initial: T, version?: number): [T, () => Promise<void>] {
  const [answer, setAnswer] = useState(initial);
  /** Numbers of the latest question, and of the one whose answer is shown. */
  const numbers = useRef({ asked: 0, shown: 0 });
  const load = useCallback(async () => {
    const number = ++numbers.current.asked;
    const a = await ask();
    if (number < numbers.current.shown) return;
    numbers.current.shown = number;
    setAnswer(a);
  }, [ask]);
  useEffect(() => {
    const n = numbers.current;
    void load().catch(() => {}); // what was shown stays
    return () => {
      n.shown = n.asked + 1; // nothing that is under way is shown any more
    };
  }, [load, version]);
  return [answer, load];
}
