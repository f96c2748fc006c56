import { create } from "zustand";

export type Theme = "system" | "light" | "dark";
const key = "hikyaku-theme";
const dark = window.matchMedia?.("(prefers-color-scheme: dark)");

function apply(theme: Theme) {
  const isDark = theme === "dark" || (theme === "system" && dark?.matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
}

export const useTheme = create<{ theme: Theme }>()(() => ({
  theme: (localStorage.getItem(key) as Theme | null) ?? "system",
}));

export function setTheme(theme: Theme) {
  localStorage.setItem(key, theme);
  useTheme.setState({ theme });
  apply(theme);
}

apply(useTheme.getState().theme);
dark?.addEventListener("change", () => apply(useTheme.getState().theme));
