import { useCallback, useEffect, useState } from "react";
import { useLoad } from "./useLoad";

/** How long the person must not type before it is searched, in milliseconds. */
const delay = 150;

/** Finds what fits a text while the person types it: null before the first answer. */
export function useSearch<T>(find: (text: string) => Promise<T[]>, text: string): [T[] | null, string] {
  const [query, setQuery] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setQuery(text), delay);
    return () => clearTimeout(timer);
  }, [text]);
  const ask = useCallback((): Promise<T[] | null> => find(query), [find, query]);
  const [found, , error] = useLoad<T[] | null>(ask, null);
  return [found, error];
}
