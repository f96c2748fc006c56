import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "../i18n";
import { Problem, type Page } from "../net/rest";
import { useApp } from "../state/app";
import type { ListPages } from "../ui/PagedList";
import { errorText } from "../ui/problem";

export type Pages<T> = ListPages<T> & {
  /** Whether an answer has come. */
  loaded: boolean;
  /** What went wrong, if a page could not be loaded: it is tried again when there is a
   * connection, or as one scrolls on. */
  error: string;
  /** Loads what is shown again. */
  reload: () => Promise<void>;
};

/** Loads a list page by page: the first one at once and when ask changes, the next ones
 * by more. When version changes, as many as are shown are loaded again. Answers to what
 * was asked before that are not shown. ask gets the cursor of a page, "" for the first. */
export function usePages<T>(ask: (cursor: string) => Promise<Page<T>>, version?: number): Pages<T> {
  const { t } = useTranslation();
  const isConnected = useApp((s) => s.connection === "open");
  const [problem, setProblem] = useState<unknown>(null);
  const [shown, setShown] = useState<{ items: T[]; next?: string; loaded: boolean }>({ items: [], loaded: false }); // prettier-ignore
  const turn = useRef(0);
  const isLoading = useRef(false);
  const count = useRef(0);

  const load = useCallback(
    async (atLeast: number) => {
      const now = ++turn.current;
      isLoading.current = true;
      try {
        const items: T[] = [];
        let next: string | undefined = "";
        do {
          const page: Page<T> = await ask(next);
          if (now !== turn.current) return;
          items.push(...page.items);
          next = page.next;
        } while (next && items.length < atLeast);
        count.current = items.length;
        setShown({ items, next, loaded: true });
        setProblem(null);
      } finally {
        if (now === turn.current) isLoading.current = false;
      }
    },
    [ask],
  );

  const dropAnswers = useCallback(() => void turn.current++, []);
  const tell = useCallback((e: unknown) => {
    if (!(e instanceof Problem)) console.error(e);
    setProblem(e); // what was shown stays
  }, []);
  const asked = useRef<typeof ask>(undefined);
  useEffect(() => {
    const isAnother = asked.current !== ask;
    asked.current = ask;
    const now = turn.current + 1;
    load(isAnother ? 1 : count.current).catch((e) => now === turn.current && tell(e));
    return dropAnswers;
  }, [load, ask, version, dropAnswers, tell]);
  const hasFailed = problem !== null;
  useEffect(() => {
    if (!isConnected || !hasFailed) return;
    const now = turn.current + 1;
    load(count.current).catch((e) => now === turn.current && tell(e));
    // Once for each connection: not again when that fails as well.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [isConnected]);

  const { next } = shown;
  const more = useCallback(() => {
    if (!next || isLoading.current) return;
    const now = turn.current;
    isLoading.current = true;
    ask(next)
      .then((page) => {
        if (now !== turn.current) return;
        setShown((s) => ({ ...s, items: [...s.items, ...page.items], next: page.next }));
        count.current += page.items.length;
        setProblem(null);
      })
      .catch((e) => now === turn.current && tell(e)) // the next scroll asks again
      .finally(() => {
        if (now === turn.current) isLoading.current = false;
      });
  }, [ask, next, tell]);

  const reload = useCallback(() => load(count.current), [load]);
  return {
    items: shown.items,
    loaded: shown.loaded,
    hasMore: next !== undefined,
    error: hasFailed ? errorText(t, problem) : "",
    more,
    reload,
  };
}
