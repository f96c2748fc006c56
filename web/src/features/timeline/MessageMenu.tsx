import { Menu } from "@base-ui/react/menu";
import { useEffect, useRef, type RefObject } from "react";
import { useTranslation } from "../../i18n";
import type { Message } from "../../protocol/types";
import { useApp } from "../../state/app";
import { Icon } from "../../ui/icons";
import { useCopy } from "../../ui/useCopy";

/** How many of how many have read a message, where that is known. */
export type Readers = { readBy?: number; readers?: number };

/** MenuSubject is a message, and what the user may do with it. */
export type MenuSubject = Readers & { message: Message; canEdit: boolean; canDelete: boolean };

/** MessageMenuHandle connects the buttons of all rows with the one menu of a timeline. */
export type MessageMenuHandle = Menu.Handle<MenuSubject>;

/** Returns the id of the button that opens the menu of a message. */
export const actionsId = (seq: number) => "actions-" + seq;

/** Returns the element of a message, if it is in the document. */
export const messageElement = (seq: number) => document.querySelector<HTMLElement>(`[data-seq="${seq}"]`);

/** Opens the menu of a message. On a touch screen it cannot be seen nor touched: there a
 * long press on the message opens the menu, and the button is for screen readers. */
export function ActionsButton({ menu, ...subject }: MenuSubject & { menu: MessageMenuHandle }) {
  const { t } = useTranslation();
  return (
    <Menu.Trigger
      handle={menu}
      payload={subject}
      id={actionsId(subject.message.seq)}
      tabIndex={-1}
      aria-label={t("actions")}
      className="absolute -top-5 right-12 rounded-lg border border-line bg-raised px-2 py-0.5 text-dim opacity-0 shadow-sm hover:text-fg focus-visible:opacity-100 pointer-fine:group-hover:opacity-100 pointer-fine:data-popup-open:opacity-100 pointer-coarse:pointer-events-none"
    >
      ⋯
    </Menu.Trigger>
  );
}

type Props = {
  menu: MessageMenuHandle;
  /** Gets the focus when the message, and with it its button, is gone. */
  timeline: RefObject<HTMLElement | null>;
  onOpen: () => void;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
};

const itemStyle =
  "flex cursor-pointer items-center gap-2 rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft";

/** Copies a message. The menu stays open, to say whether that worked. */
function CopyItem({ text }: { text: string }) {
  const [label, copy] = useCopy();
  return (
    <Menu.Item
      className={itemStyle + " max-w-72 [&>svg]:shrink-0"}
      closeOnClick={false}
      onClick={() => copy(text)}
    >
      <Icon name="copy" size={16} /> <span aria-live="polite">{label}</span>
    </Menu.Item>
  );
}

/** How far the menu stays from its message and from the window's edges, in CSS pixels. */
const distance = 4;

/** Returns what the menu is placed beside: the message, which it must not cover; or, where
 * there is room neither above nor below, a line so far from the window's lower edge that
 * the menu fits in between. */
function placeFor(button: Element, menu: HTMLElement | null) {
  const message = button.closest("article") ?? button;
  return {
    contextElement: message,
    getBoundingClientRect: () => {
      const rect = message.getBoundingClientRect();
      const needed = (menu?.offsetHeight ?? 0) + 3 * distance;
      const height = window.visualViewport?.height ?? window.innerHeight;
      if (rect.top >= needed || height - rect.bottom >= needed) return rect;
      return new DOMRect(rect.x, Math.max(height - needed, 0), rect.width, 0);
    },
  };
}

/** The menu of the message whose button was pressed. */
export function MessageMenu({ menu, onOpen, ...rest }: Props) {
  /** Whether what was chosen takes the focus elsewhere. */
  const leaves = useRef(false);
  const onOpenChange = (open: boolean) => {
    if (!open) return;
    leaves.current = false;
    onOpen();
  };
  return (
    <Menu.Root handle={menu} onOpenChange={onOpenChange}>
      {({ payload }) =>
        payload && <OpenMessageMenu menu={menu} subject={payload} leaves={leaves} {...rest} />
      }
    </Menu.Root>
  );
}

type OpenProps = Omit<Props, "onOpen"> & { subject: MenuSubject; leaves: RefObject<boolean> };

function OpenMessageMenu({ menu, timeline, subject, leaves, onReply, onEdit, onDelete }: OpenProps) {
  const { t } = useTranslation();
  const popup = useRef<HTMLDivElement>(null);
  const { conversation, seq } = subject.message;
  // It may be edited or deleted while its menu is open.
  const message =
    useApp((s) => s.timelines[conversation]?.messages.find((m) => m.seq === seq)) ?? subject.message;
  const isDeleted = Boolean(message.deleted_at);
  useEffect(() => {
    if (isDeleted) menu.close();
  }, [menu, isDeleted]);
  const button = () => document.getElementById(actionsId(seq));
  const leave = (choose: (m: Message) => void) => {
    leaves.current = true;
    choose(message);
  };
  return (
    // In the landmark, where screen readers that go through those find it.
    <Menu.Portal container={document.querySelector("main")}>
      <Menu.Positioner
        anchor={() => {
          const b = button();
          return b && placeFor(b, popup.current);
        }}
        align="end"
        sideOffset={distance}
        collisionPadding={distance}
        collisionAvoidance={{ side: "flip", align: "shift", fallbackAxisSide: "none" }}
        className="z-10"
      >
        <Menu.Popup
          ref={popup}
          finalFocus={() => !leaves.current && (messageElement(seq) ?? timeline.current)}
          className="min-w-40 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none"
        >
          {subject.readers !== undefined && (
            <p className="px-3 py-1 text-sm text-dim">
              {t("readByCount", { count: subject.readBy ?? 0, all: subject.readers })}
            </p>
          )}
          <Menu.Item className={itemStyle} onClick={() => leave(onReply)}>
            <Icon name="reply" size={16} /> {t("reply")}
          </Menu.Item>
          <CopyItem key={seq} text={message.body} />
          {subject.canEdit && (
            <Menu.Item className={itemStyle} onClick={() => leave(onEdit)}>
              <Icon name="edit" size={16} /> {t("edit")}
            </Menu.Item>
          )}
          {subject.canDelete && (
            <Menu.Item className={itemStyle + " text-danger"} onClick={() => leave(onDelete)}>
              <Icon name="trash" size={16} /> {t("delete")}
            </Menu.Item>
          )}
        </Menu.Popup>
      </Menu.Positioner>
    </Menu.Portal>
  );
}
