import { Menu } from "@base-ui/react/menu";
import { useRef } from "react";
import { useTranslation } from "../../i18n";
import type { Message } from "../../protocol/types";
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
      className="absolute -top-3 right-12 rounded-lg border border-line bg-raised px-2 py-0.5 text-dim opacity-0 shadow-sm hover:text-fg focus-visible:opacity-100 pointer-fine:group-hover:opacity-100 pointer-fine:data-popup-open:opacity-100 pointer-coarse:pointer-events-none"
    >
      ⋯
    </Menu.Trigger>
  );
}

type Props = {
  menu: MessageMenuHandle;
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

/** The menu of the message whose button was pressed. */
export function MessageMenu({ menu, onOpen, onReply, onEdit, onDelete }: Props) {
  const { t } = useTranslation();
  /** Whether what was chosen takes the focus elsewhere. */
  const leaves = useRef(false);
  const leave = (choose: (m: Message) => void, m: Message) => {
    leaves.current = true;
    choose(m);
  };
  const onOpenChange = (open: boolean) => {
    if (!open) return;
    leaves.current = false;
    onOpen();
  };
  return (
    <Menu.Root handle={menu} onOpenChange={onOpenChange}>
      {({ payload }) =>
        payload && (
          // In the landmark, where screen readers that go through those find it.
          <Menu.Portal container={document.querySelector("main")}>
            <Menu.Positioner align="end" sideOffset={4} className="z-10">
              <Menu.Popup
                finalFocus={() => !leaves.current && messageElement(payload.message.seq)}
                className="min-w-40 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none"
              >
                {payload.readers !== undefined && (
                  <p className="px-3 py-1 text-sm text-dim">
                    {t("readByCount", { count: payload.readBy ?? 0, all: payload.readers })}
                  </p>
                )}
                <Menu.Item className={itemStyle} onClick={() => leave(onReply, payload.message)}>
                  <Icon name="reply" size={16} /> {t("reply")}
                </Menu.Item>
                <CopyItem key={payload.message.seq} text={payload.message.body} />
                {payload.canEdit && (
                  <Menu.Item className={itemStyle} onClick={() => leave(onEdit, payload.message)}>
                    <Icon name="edit" size={16} /> {t("edit")}
                  </Menu.Item>
                )}
                {payload.canDelete && (
                  <Menu.Item
                    className={itemStyle + " text-danger"}
                    onClick={() => leave(onDelete, payload.message)}
                  >
                    <Icon name="trash" size={16} /> {t("delete")}
                  </Menu.Item>
                )}
              </Menu.Popup>
            </Menu.Positioner>
          </Menu.Portal>
        )
      }
    </Menu.Root>
  );
}
