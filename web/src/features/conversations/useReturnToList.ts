import { useEffect, useRef } from "react";

/** Gives the list the focus when what was open beside it, or over it, is closed and has taken
 * the focus with it. */
export function useReturnToList(isOpen: boolean) {
  const wasOpen = useRef(isOpen);
  useEffect(() => {
    const isClosed = wasOpen.current && !isOpen;
    wasOpen.current = isOpen;
    if (!isClosed) return;
    // Once dialogs are gone, which would take it back.
    const timer = setTimeout(() => {
      if (document.activeElement && document.activeElement !== document.body) return;
      const list = document.querySelector("nav [data-conversation][tabindex='0'], nav button");
      if (list instanceof HTMLElement) list.focus();
    }, 100);
    return () => clearTimeout(timer);
  }, [isOpen]);
}
