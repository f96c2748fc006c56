type Details = { reason: string; event: Event };

/** Returns the onOpenChange of a layer that is open: a dialog, a card or a menu. The key
 * that closes it closes nothing below: the library asks the layers one after the other, and
 * the one above may be gone by the time that the next one is asked. */
export const closes = (onClose: () => void) => (open: boolean, details: Details) => {
  if (open) return;
  if (details.reason === "escape-key") details.event.stopImmediatePropagation();
  onClose();
};
