import { useEffect, useState } from "react";

/** How long a person pauses before what they type is searched for, in milliseconds. */
const pause = 150;

/** Returns a text once it has not changed for a moment. */
export function useDebounced(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), pause);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
