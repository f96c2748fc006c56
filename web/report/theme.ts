// The colors are custom properties of the style; canvases need their values.

/** Returns the current value of a color of the style. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const lineColors = 6;

/** Returns the color of a line; published values have a negative tone, and are gray. */
export function lineColor(n: number): string {
  return cssColor(n < 0 ? "tone-published" : `tone-${n % lineColors}`);
}

export type Theme = "light" | "dark";

export function theme(): Theme {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

const listeners = new Set<() => void>();

/** Calls f when the theme changes. */
export function onThemeChange(f: () => void) {
  listeners.add(f);
}

export function setTheme(t: Theme) {
  document.documentElement.dataset.theme = t;
  for (const f of listeners) f();
}

/** Follows the theme of the system until the reader selects one; print is light. */
export function followTheme(): { toggle(): void } {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let selected: Theme | undefined;
  const effectiveTheme = (): Theme => selected ?? (dark.matches ? "dark" : "light");
  setTheme(effectiveTheme());
  dark.addEventListener("change", () => setTheme(effectiveTheme()));
  addEventListener("beforeprint", () => setTheme("light"));
  addEventListener("afterprint", () => setTheme(effectiveTheme()));
  return {
    toggle() {
      selected = theme() === "dark" ? "light" : "dark";
      setTheme(selected);
    },
  };
}
