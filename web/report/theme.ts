// Colors live in the style; what draws on a canvas asks for them.

/** A color of the style, as it is now. */
export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const tones = 6;

/** The color of a line; what was not measured here is gray. */
export function tone(n: number): string {
  return color(n < 0 ? "tone-published" : `tone-${n % tones}`);
}

export type Theme = "light" | "dark";

export function theme(): Theme {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

const changed = new Set<() => void>();

/** Calls when colors change. */
export function onTheme(f: () => void) {
  changed.add(f);
}

export function setTheme(t: Theme) {
  document.documentElement.dataset.theme = t;
  for (const f of changed) f();
}

/** Follows the system until the reader chooses; paper is light. */
export function followTheme(): { toggle(): void } {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen: Theme | undefined;
  const wanted = (): Theme => chosen ?? (dark.matches ? "dark" : "light");
  setTheme(wanted());
  dark.addEventListener("change", () => setTheme(wanted()));
  addEventListener("beforeprint", () => setTheme("light"));
  addEventListener("afterprint", () => setTheme(wanted()));
  return {
    toggle() {
      chosen = theme() === "dark" ? "light" : "dark";
      setTheme(chosen);
    },
  };
}
