/** Copies a text, and reports whether it could. The Clipboard API exists on pages that
 * came over HTTPS only; elsewhere the text is selected and copied as a person would. */
export async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // The browser does not allow it; perhaps it allows the other way.
  }
  return copySelected(text);
}

function copySelected(text: string): boolean {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true; // no keyboard on phones
  area.style.cssText = "position:fixed;inset:0 auto auto 0;opacity:0";
  // Beside what has the focus: a dialog would take it back from elsewhere.
  (focused?.parentElement ?? document.body).append(area);
  area.focus({ preventScroll: true });
  area.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    area.remove();
    focused?.focus({ preventScroll: true });
  }
}
