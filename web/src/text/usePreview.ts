import { useEffect, useMemo, useState } from "react";
import { firstCharacters, withoutPiledMarks } from "./characters";

type Previews = { previewOf: (body: string, count?: number) => string };
let loaded: Previews | undefined;

/** Loads what makes previews: with what reads Markdown, which is not part of the first load. */
export const loadPreviews = () => import("./preview").then((m): Previews => (loaded = m));

/** Returns the beginning of a message on one line, without its Markdown as soon as
 * what reads that is loaded. */
export function usePreview(body: string): string {
  const [previews, setPreviews] = useState(loaded);
  useEffect(() => {
    if (previews) return;
    let current = true;
    void loadPreviews().then(
      (m) => current && setPreviews(m),
      () => {}, // the text itself stays
    );
    return () => {
      current = false;
    };
  }, [previews]);
  return useMemo(
    () =>
      previews
        ? previews.previewOf(body)
        : firstCharacters(withoutPiledMarks(body.slice(0, 1000)).replace(/\s+/g, " "), 140),
    [previews, body],
  );
}
