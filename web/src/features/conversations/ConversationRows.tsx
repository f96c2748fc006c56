import {
  createContext,
  useContext,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  type FocusEvent,
  type KeyboardEvent,
  type RefObject,
} from "react";
import { useTranslation } from "../../i18n";
import { Virtualizer, type CustomItemComponentProps, type VirtualizerHandle } from "virtua";
import { useActivityOrder, useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { Button } from "../../ui/controls";
import { useIsConnectionLost } from "../StatusBanner";
import { actionOf, type ActionOf } from "../shortcuts/shortcuts";
import { ConversationRow } from "./ConversationRow";
import { useListPlace } from "./useListPlace";

/** The height of a row, in pixels, before it is measured. */
const rowHeight = 58;

type Props = { selected: string | null; onCreate: () => void };

/** The list of conversations. Only the rows in view, and a few around them, are in the
 * document, with their place in the whole list. The tab key comes to one of them, and
 * arrow keys go on from there. */
export function ConversationRows({ selected, onCreate }: Props) {
  const { t } = useTranslation();
  const { presence } = useSession();
  const ready = useApp((s) => s.ready);
  const order = useActivityOrder();
  const isLost = useIsConnectionLost();
  const list = useRef<VirtualizerHandle>(null);
  const scroller = useRef<HTMLElement>(null);
  const { tabbable, onFocus, onKeyDown } = useRovingFocus(order, selected, list, scroller);
  useEffect(() => presence.watch(), [presence, order.length, ready]);
  useSteadyScroll(order, list);
  useListPlace(order, list);

  return (
    <nav
      ref={scroller}
      aria-label={t("conversations")}
      className="min-h-0 flex-1 overflow-y-auto px-2 pb-2 [overflow-anchor:none]"
      onFocus={onFocus}
      onKeyDown={onKeyDown}
    >
      {!ready && order.length === 0 && !isLost && <Skeleton />}
      {!ready && order.length === 0 && isLost && (
        <p className="px-6 py-12 text-center text-dim">{t("conversationsAbsent")}</p>
      )}
      {ready && order.length === 0 && (
        <div className="flex flex-col items-center gap-2 px-6 py-12 text-center">
          <p className="font-medium">{t("noConversations")}</p>
          <p className="text-sm text-dim">{t("noConversationsHint")}</p>
          <Button kind="primary" className="mt-2" onClick={onCreate}>
            {t("newDirect")}
          </Button>
        </div>
      )}
      {order.length > 0 && (
        <ListSize value={order.length}>
          <Virtualizer
            ref={list}
            as="ul"
            item={Item}
            data={order}
            itemSize={rowHeight}
            keepMounted={tabbable >= 0 ? [tabbable] : []}
          >
            {(id, i) => (
              <ConversationRow key={id} id={id} selected={id === selected} tabbable={i === tabbable} />
            )}
          </Virtualizer>
        </ListSize>
      )}
    </nav>
  );
}

const ListSize = createContext(0);

function Item({ ref, style, index, children }: CustomItemComponentProps) {
  // A row can get the focus before it is measured: a hidden one could not.
  return (
    <li
      ref={ref}
      aria-posinset={index + 1}
      aria-setsize={useContext(ListSize)}
      style={{ ...style, visibility: undefined }}
      className="pb-0.5"
    >
      {children}
    </li>
  );
}

const rowOf = (e: Element | null) => e?.closest<HTMLElement>("[data-conversation]");

/** One row is in the order of the tab key: the one that had the focus last, or the
 * selected one, or the first. It stays in the document wherever the list is scrolled. */
function useRovingFocus(
  order: readonly string[],
  selected: string | null,
  list: RefObject<VirtualizerHandle | null>,
  scroller: RefObject<HTMLElement | null>,
) {
  const [focused, setFocused] = useState<string | null>(null);
  const wanted = useRef<string | null>(null);
  const at = [focused, selected].map((id) => (id ? order.indexOf(id) : -1)).find((i) => i >= 0);
  const tabbable = at ?? (order.length > 0 ? 0 : -1);

  useLayoutEffect(() => {
    if (!wanted.current) return;
    const row = scroller.current?.querySelector<HTMLElement>(`[data-conversation="${wanted.current}"]`);
    wanted.current = null;
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" }); // the list may be on another way
  }, [focused, scroller]);

  const onFocus = (e: FocusEvent) => {
    const id = rowOf(e.target)?.dataset.conversation;
    if (id) setFocused(id);
  };
  const onKeyDown = (e: KeyboardEvent) => {
    const id = rowOf(e.target as Element)?.dataset.conversation;
    const action = actionOf("list", e);
    if (!id || !action) return;
    const height = rowOf(e.target as Element)!.offsetHeight;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 1);
    const steps: Record<ActionOf<"list">, number> = {
      ...{ next: 1, previous: -1, pageDown: page, pageUp: -page },
      ...{ first: -Infinity, last: Infinity },
    };
    const step = steps[action];
    e.preventDefault();
    const next = Math.min(Math.max(order.indexOf(id) + step, 0), order.length - 1);
    if (order[next] === id) return;
    list.current?.scrollToIndex(next, { align: "nearest" });
    wanted.current = order[next]!;
    setFocused(order[next]!);
  };
  return { tabbable, onFocus, onKeyDown };
}

/** Keeps the rows in view where they are when a conversation moves to the top: nobody
 * shall click on what has come under the pointer just now. */
function useSteadyScroll(order: readonly string[], list: RefObject<VirtualizerHandle | null>) {
  const before = useRef(order);
  useLayoutEffect(() => {
    const old = before.current;
    before.current = order;
    const l = list.current;
    if (!l || l.scrollOffset <= 0 || old === order || old.length === 0) return;
    const first = l.findItemIndex(l.scrollOffset);
    for (let i = first; i < Math.min(first + 3, old.length); i++) {
      const now = order.indexOf(old[i]!);
      if (now < i) continue; // it has moved up itself, or is gone
      if (now > i) l.scrollBy(l.getItemOffset(now) - l.getItemOffset(i));
      return;
    }
  }, [order, list]);
}

function Skeleton() {
  return (
    <div aria-hidden className="flex flex-col gap-3 p-2">
      {[0, 1, 2, 3].map((i) => (
        <div key={i} className="flex items-center gap-3">
          <div className="h-10 w-10 rounded-xl bg-line" />
          <div className="flex flex-1 flex-col gap-2">
            <div className="h-3 w-1/2 rounded bg-line" />
            <div className="h-3 w-4/5 rounded bg-line/60" />
          </div>
        </div>
      ))}
    </div>
  );
}
