import { useEffect } from "react";

/** Gives the list of conversations the focus when what is open beside it is closed and has
 * taken the focus with it. */
export function useReturnToList() {
  useEffect(
    () => () => {
      // Once dialogs are gone, which would take it back, and what is opened next has it.
      setTimeout(() => {
        if (document.activeElement && document.activeElement !== document.body) return;
        document.querySelector<HTMLElement>("nav [data-conversation][tabindex='0'], nav button")?.focus();
      }, 100);
    },
    [],
  );
}
