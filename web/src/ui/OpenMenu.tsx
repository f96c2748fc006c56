import { Menu } from "@base-ui/react/menu";
import type { RefObject } from "react";
import type { MenuEntry } from "./MenuButton";
import { useLayer } from "./useLayer";

type Props = {
  anchor: RefObject<HTMLButtonElement | null>;
  label: string;
  entries: MenuEntry[];
  onClose: () => void;
};

/** The menu of a MenuButton while it is open. */
export function OpenMenu({ anchor, label, entries, onClose }: Props) {
  const onOpenChange = useLayer(true, onClose);
  return (
    <Menu.Root open onOpenChange={onOpenChange}>
      {/* In the landmark, where screen readers that go through those find it. */}
      <Menu.Portal container={anchor.current?.closest("main") ?? undefined}>
        <Menu.Positioner anchor={anchor} align="end" sideOffset={4} className="z-10">
          <Menu.Popup
            aria-label={label}
            finalFocus={anchor}
            className="min-w-40 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none"
          >
            {entries.map((e) => (
              <Menu.Item
                key={e.key}
                onClick={e.onSelect}
                className={`flex cursor-pointer items-center gap-2 rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft ${e.danger ? "text-danger" : ""}`}
              >
                {e.label}
              </Menu.Item>
            ))}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
