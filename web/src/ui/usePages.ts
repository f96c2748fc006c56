import { useCallback, useEffect, useRef, useState } from "react";
import type { Page } from "../net/rest";

export type Pages<T> = {
  items: T[];
  /** Whether an answer has come. */
  loaded: boolean;
  hasMore: boolean;
  /** Loads the next page, if there is one and it is not on its way. */
  more: () => void;
  /** Loads what is shown again. */
  reload: () => Promise<void>;
};

/** Loads a list page by page: the first one at once and when ask changes, the next ones
 * by more. When version changes, as many as are shown are loaded again. Answers to what
 * was asked before that are not shown. ask gets the cursor of a page, "" for the first. */
export function usePages<T>(ask: (cursor: string) => Promise<Page<T>>, version?: number): Pages<T> {
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
      } finally {
        if (now === turn.current) isLoading.current = false;
      }
    },
    [ask],
  );

  const dropAnswers = useCallback(() => void turn.current++, []);
  const asked = useRef<typeof ask>(undefined);
  useEffect(() => {
    const isAnother = asked.current !== ask;
    asked.current = ask;
    void load(isAnother ? 1 : count.current).catch(() => {}); // what was shown stays
    return dropAnswers;
  }, [load, ask, version, dropAnswers]);

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
      })
      .catch(() => {}) // the next scroll asks again
      .finally(() => {
        if (now === turn.current) isLoading.current = false;
      });
  }, [ask, next]);

  const reload = useCallback(() => load(count.current), [load]);
  return { items: shown.items, loaded: shown.loaded, hasMore: next !== undefined, more, reload };
}
