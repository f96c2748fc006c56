import { Dialog } from "@base-ui/react/dialog";
import { useMemo, type ReactNode } from "react";
import { useTranslation } from "../i18n";
import { Icon } from "./icons";
import { useLayer } from "./useLayer";

type Props = {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  side?: boolean;
  /** Returns what gets the focus when it closes, if that is not what had it before. */
  finalFocus?: () => HTMLElement | null;
};

/** A dialog in the center, or a panel at the side. */
export function Modal({ title, open, onClose, children, side, finalFocus }: Props) {
  const { t } = useTranslation();
  const onOpenChange = useLayer(open, onClose);
  // Told here: a field that takes the focus by itself does so before the dialog looks.
  const before = useMemo(
    () => (open ? { focused: document.activeElement, path: location.pathname } : undefined),
    [open],
  );
  const returnFocus = () => {
    if (before && before.path !== location.pathname) return false; // who was led elsewhere stays there
    return before?.focused instanceof HTMLElement && before.focused.isConnected ? before.focused : true;
  };
  const position = side
    ? "inset-y-0 right-0 w-full max-w-md border-l"
    : "left-1/2 top-1/2 max-h-[88dvh] w-[calc(100%-2rem)] max-w-lg -translate-x-1/2 -translate-y-1/2 rounded-2xl border";
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop forceRender className="fixed inset-0 z-10 bg-black/40" />
        <Dialog.Popup
          finalFocus={finalFocus ?? returnFocus}
          className={`fixed z-10 flex flex-col border-line bg-bg shadow-xl outline-none ${position}`}
        >
          <header className="flex items-center justify-between gap-2 border-b border-line px-5 py-3">
            <Dialog.Title className="text-lg font-semibold">{title}</Dialog.Title>
            <Dialog.Close
              aria-label={t("close")}
              className="rounded-lg p-2 text-dim hover:bg-panel hover:text-fg"
            >
              <Icon name="close" />
            </Dialog.Close>
          </header>
          <div className="flex min-h-0 flex-col gap-4 overflow-y-auto px-5 py-4">{children}</div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
