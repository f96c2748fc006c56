import { Menu } from "@base-ui/react/menu";
import { useTranslation } from "react-i18next";
import type { Message } from "../../protocol/types";
import { Icon } from "../../ui/icons";

/** MenuSubject is a message, and what the user may do with it. */
export type MenuSubject = { message: Message; canEdit: boolean; canDelete: boolean };

/** MessageMenuHandle connects the buttons of all rows with the one menu of a timeline. */
export type MessageMenuHandle = Menu.Handle<MenuSubject>;

/** Returns the id of the button that opens the menu of a message. */
export const actionsId = (seq: number) => "actions-" + seq;

/** Opens the menu of a message. On a touch screen it cannot be seen nor touched: there a
 * long press on the message opens the menu, and the button is for screen readers. */
export function ActionsButton({ menu, ...subject }: MenuSubject & { menu: MessageMenuHandle }) {
  const { t } = useTranslation();
  return (
    <Menu.Trigger
      handle={menu}
      payload={subject}
      id={actionsId(subject.message.seq)}
      aria-label={t("actions")}
      className="absolute -top-3 right-12 rounded-lg border border-line bg-raised px-2 py-0.5 text-dim opacity-0 shadow-sm hover:text-fg focus-visible:opacity-100 pointer-fine:group-hover:opacity-100 pointer-fine:data-popup-open:opacity-100 pointer-coarse:pointer-events-none"
    >
      ⋯
    </Menu.Trigger>
  );
}

type Props = {
  menu: MessageMenuHandle;
  onReply: (m: Message) => void;
  onEdit: (m: Message) => void;
  onDelete: (m: Message) => void;
};

/** The menu of the message whose button was pressed. */
export function MessageMenu({ menu, onReply, onEdit, onDelete }: Props) {
  const { t } = useTranslation();
  const itemStyle =
    "flex cursor-pointer items-center gap-2 rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft";
  return (
    <Menu.Root handle={menu}>
      {({ payload }) =>
        payload && (
          <Menu.Portal>
            <Menu.Positioner align="end" sideOffset={4} className="z-10">
              <Menu.Popup className="min-w-40 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none">
                <Menu.Item className={itemStyle} onClick={() => onReply(payload.message)}>
                  <Icon name="reply" size={16} /> {t("reply")}
                </Menu.Item>
                <Menu.Item
                  className={itemStyle}
                  onClick={() => void navigator.clipboard?.writeText(payload.message.body)}
                >
                  <Icon name="copy" size={16} /> {t("copy")}
                </Menu.Item>
                {payload.canEdit && (
                  <Menu.Item className={itemStyle} onClick={() => onEdit(payload.message)}>
                    <Icon name="edit" size={16} /> {t("edit")}
                  </Menu.Item>
                )}
                {payload.canDelete && (
                  <Menu.Item className={itemStyle + " text-danger"} onClick={() => onDelete(payload.message)}>
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
