/** The id of the text area in which messages are written. */
export const composerId = "composer";

/** Moves the focus to where messages are written, and returns that; null if no conversation
 * is open. */
export function focusComposer(): HTMLElement | null {
  const composer = document.getElementById(composerId);
  composer?.focus();
  return composer;
}
