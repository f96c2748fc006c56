import { useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Virtualizer, type CustomItemComponentProps, type VirtualizerHandle } from "virtua";
import { useTranslation } from "../../i18n";
import { useApp } from "../../state/app";
import { navigate } from "../../state/route";
import { Avatar } from "../../ui/controls";
import { Modal } from "../../ui/Modal";
import { choicesOf, find, type Choice } from "./find";

/** How far the page keys go. */
const pageLength = 8;

/** Goes to a conversation that the user finds by its name. The focus stays in the text, and
 * the keys move through the list: the combobox of the ARIA practices. */
export function ConversationSwitcher({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  // As they are now: nothing moves under the hand.
  const [choices] = useState(() => choicesOf(useApp.getState()));
  const found = useMemo(() => find(choices, text), [choices, text]);
  const [active, setActive] = useState(0);
  const list = useRef<VirtualizerHandle>(null);
  const id = useId();
  const optionId = (i: number) => `${id}-${i}`;

  const go = (c: Choice | undefined) => {
    if (!c) return;
    navigate("/c/" + c.id);
    onClose();
  };
  const move = (to: number) => {
    setActive(to);
    list.current?.scrollToIndex(to, { align: "nearest" });
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.nativeEvent.isComposing || e.keyCode === 229 || e.ctrlKey || e.metaKey || e.altKey) return;
    const last = found.length - 1;
    const targets: Record<string, number> = {
      ArrowDown: active < last ? active + 1 : 0,
      ArrowUp: active > 0 ? active - 1 : last,
      PageDown: Math.min(active + pageLength, last),
      PageUp: Math.max(active - pageLength, 0),
    };
    if (e.key === "Enter") go(found[active]);
    else if (e.key in targets && last >= 0) move(targets[e.key]!);
    else return;
    e.preventDefault();
  };

  return (
    <Modal open title={t("switchConversation")} onClose={onClose}>
      <input
        role="combobox"
        aria-label={t("conversationName")}
        placeholder={t("conversationName")}
        aria-expanded={found.length > 0}
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={found.length > 0 ? optionId(active) : undefined}
        dir="auto"
        autoFocus
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          move(0);
        }}
        onKeyDown={onKeyDown}
        className="shrink-0 rounded-lg border border-line bg-bg px-3 py-2 placeholder:text-dim"
      />
      <p role="status" className="px-2 text-sm text-dim empty:hidden">
        {found.length === 0 && t("noConversationFound")}
      </p>
      <div
        id={id}
        role="listbox"
        aria-label={t("conversations")}
        className="h-[50dvh] min-h-24 overflow-y-auto [overflow-anchor:none]"
      >
        <Virtualizer ref={list} data={found} item={Item} keepMounted={found.length > 0 ? [active] : []}>
          {(c, i) => (
            <Option
              key={c.id}
              choice={c}
              id={optionId(i)}
              active={i === active}
              place={[i + 1, found.length]}
              onSelect={() => go(c)}
            />
          )}
        </Virtualizer>
      </div>
    </Modal>
  );
}

/** A row that can be told of before it is measured: a hidden one could not. */
function Item({ ref, style, children }: CustomItemComponentProps) {
  return (
    <div ref={ref} style={{ ...style, visibility: undefined }}>
      {children}
    </div>
  );
}

type OptionProps = {
  choice: Choice;
  id: string;
  active: boolean;
  place: [at: number, of: number];
  onSelect: () => void;
};

function Option({ choice: c, id, active, place, onSelect }: OptionProps) {
  const { t } = useTranslation();
  return (
    <div
      id={id}
      role="option"
      aria-selected={active}
      aria-posinset={place[0]}
      aria-setsize={place[1]}
      onMouseDown={(e) => e.preventDefault()} // the focus stays in the text
      onClick={onSelect}
      className={`flex min-h-11 cursor-pointer items-center gap-3 rounded-xl px-2 py-1.5 ${active ? "bg-accent-soft outline-2 -outline-offset-2 outline-accent" : "hover:bg-panel"}`}
    >
      <Avatar name={c.name} id={c.peer?.id ?? c.id} size={32} />
      <span className="min-w-0 flex-1 truncate">
        {c.kind === "channel" && <span className="text-dim"># </span>}
        <bdi className={c.unread > 0 ? "font-semibold" : ""}>{c.name}</bdi>
        {c.peer && <span className="text-sm text-dim"> @{c.peer.name}</span>}
      </span>
      {c.unread > 0 && (
        <span className="min-w-5 shrink-0 rounded-full bg-accent px-1.5 text-center text-xs leading-5 font-semibold text-accent-fg">
          <span aria-hidden>{c.unread > 99 ? "99+" : c.unread}</span>
          <span className="sr-only">{t("unread", { count: c.unread })}</span>
        </span>
      )}
    </div>
  );
}
