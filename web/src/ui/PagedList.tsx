import { useCallback, useEffect, useRef, type ReactElement } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";

/** How many rows before the end the next page is loaded. */
const ahead = 20;

/** A list that is loaded page by page. */
export type ListPages<T> = {
  items: T[];
  hasMore: boolean;
  /** Loads the next page, if there is one and it is not on its way. */
  more: () => void;
};

type Props<T> = {
  label: string;
  pages: ListPages<T>;
  /** Makes the row of an item, with a key. */
  children: (item: T) => ReactElement;
  /** Called with what is in view, when the list comes to rest. */
  onView?: (items: T[]) => void;
  /** The class of its greatest height. */
  maxHeight?: string;
};

/** A list that scrolls by itself and loads its pages on the way. Only the rows in view are
 * in the document. */
export function PagedList<T>({ label, pages, children, onView, maxHeight = "max-h-[50dvh]" }: Props<T>) {
  const { items, hasMore, more } = pages;
  const list = useRef<VirtualizerHandle>(null);
  const inView = useCallback((): [first: number, last: number] => {
    const l = list.current;
    if (!l) return [0, -1];
    return [l.findItemIndex(l.scrollOffset), l.findItemIndex(l.scrollOffset + l.viewportSize)];
  }, []);
  // Not with each rendering: a page that cannot be loaded would be asked for without end.
  const { length } = items;
  const loadAhead = useCallback(() => {
    if (hasMore && inView()[1] >= length - ahead) more();
  }, [length, hasMore, more, inView]);
  // Not for each step of a scroll: the server is told whom the page watches.
  const tellView = useCallback(() => {
    const [first, last] = inView();
    onView?.(items.slice(first, last + 1));
  }, [items, inView, onView]);
  useEffect(loadAhead, [loadAhead]);
  useEffect(tellView, [tellView]);
  return (
    <div
      role="group"
      aria-label={label}
      tabIndex={0}
      className={`overflow-y-auto rounded-lg [overflow-anchor:none] ${maxHeight}`}
    >
      <Virtualizer
        ref={list}
        as="ul"
        item="li"
        data={items}
        onScroll={loadAhead}
        onScrollEnd={tellView}
        onResize={tellView}
      >
        {children}
      </Virtualizer>
    </div>
  );
}
