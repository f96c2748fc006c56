import { useCallback, useEffect, useRef, type ReactElement } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import type { Pages } from "./usePages";

/** How many rows before the end the next page is loaded. */
const ahead = 20;

type Props<T> = {
  label: string;
  pages: Pages<T>;
  /** Makes the row of an item, with a key. */
  children: (item: T) => ReactElement;
  /** Called with what has come into view. */
  onView?: (items: T[]) => void;
};

/** A list that scrolls by itself and loads its pages on the way. Only the rows in view are
 * in the document. */
export function PagedList<T>({ label, pages, children, onView }: Props<T>) {
  const { items, hasMore, more } = pages;
  const list = useRef<VirtualizerHandle>(null);
  const look = useCallback(() => {
    const l = list.current;
    if (!l) return;
    const first = l.findItemIndex(l.scrollOffset);
    const last = l.findItemIndex(l.scrollOffset + l.viewportSize);
    if (hasMore && last >= items.length - ahead) more();
    onView?.(items.slice(first, last + 1));
  }, [items, hasMore, more, onView]);
  useEffect(look, [look]);
  return (
    <div
      role="group"
      aria-label={label}
      tabIndex={0}
      className="max-h-[50dvh] overflow-y-auto rounded-lg [overflow-anchor:none]"
    >
      <Virtualizer ref={list} as="ul" item="li" data={items} onScroll={look} onResize={look}>
        {children}
      </Virtualizer>
    </div>
  );
}
