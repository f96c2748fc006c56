import { AlertDialog } from "@base-ui/react/alert-dialog";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "../i18n";
import { Button, ErrorMessage } from "./controls";
import { useLayer } from "./useLayer";
import { useTask } from "./useTask";

export type Question = {
  title: string;
  /** What follows from it, for whom. */
  consequence: string;
  /** What the button that does it is called. */
  action: string;
  /** What the button that leaves everything as it is is called; "Cancel" by default. */
  cancel?: string;
  /** Does it. The dialog stays until that has ended, and says what went wrong. */
  run: () => Promise<unknown>;
  /** Returns what gets the focus when it closes, if that is not what had it before. */
  finalFocus?: () => HTMLElement | null;
};

/** Asks before something is done that hurts somebody or cannot be undone. The focus is on
 * what changes nothing; afterwards it is where it was, or near it. */
export function QuestionDialog({
  title,
  consequence,
  action,
  cancel,
  run,
  finalFocus,
  onClose,
}: Question & { onClose: () => void }) {
  const { t } = useTranslation();
  const task = useTask();
  const leave = useRef<HTMLButtonElement>(null);
  const [before] = useState(focusables);
  // When all has changed that the answer changes: what had the focus may be gone then.
  const focusAfter = useRef(finalFocus ?? (() => before.find((e) => e.isConnected) ?? null));
  useEffect(() => () => focusAfter.current()?.focus(), []);
  const close = () => {
    if (!task.busy) onClose();
  };
  const onOpenChange = useLayer(true, close);
  return (
    <AlertDialog.Root open onOpenChange={onOpenChange}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop forceRender className="fixed inset-0 z-20 bg-black/40" />
        <AlertDialog.Popup
          initialFocus={leave}
          finalFocus={() => !focusAfter.current()}
          className="fixed top-1/2 left-1/2 z-20 flex max-h-[88dvh] w-[calc(100%-2rem)] max-w-md -translate-x-1/2 -translate-y-1/2 flex-col gap-3 overflow-y-auto rounded-2xl border border-line bg-bg p-5 shadow-xl outline-none"
        >
          <AlertDialog.Title className="text-lg font-semibold break-words">{title}</AlertDialog.Title>
          <AlertDialog.Description aria-live="polite" className="break-words text-dim">
            {consequence}
          </AlertDialog.Description>
          {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
          <div className="flex flex-wrap justify-end gap-2 pt-1">
            <Button ref={leave} onClick={close}>
              {cancel ?? t("cancel")}
            </Button>
            <Button
              kind="danger"
              // Not disabled while busy: that would take the focus away.
              aria-busy={task.busy}
              onClick={() => {
                if (!task.busy) void task.run(run).then((ok) => ok && onClose());
              }}
            >
              {action}
            </Button>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}

/** Returns what has the focus, and what around it may have it: the former may go with what
 * is asked about. */
function focusables(): HTMLElement[] {
  const found: HTMLElement[] = [];
  for (let e = document.activeElement; e && e !== document.body; e = e.parentElement)
    if (e instanceof HTMLElement && (e.tabIndex >= 0 || e.hasAttribute("tabindex"))) found.push(e);
  return found;
}
