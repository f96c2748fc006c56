import { create } from "zustand";

export type Theme = "system" | "light" | "dark";
const storageKey = "hikyaku-theme";
const darkQuery = window.matchMedia?.("(prefers-color-scheme: dark)");

function apply(theme: Theme) {
  const isDark = theme === "dark" || (theme === "system" && darkQuery?.matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  // The window of the installed page, and the browser around others, have its colour.
  const colours = document.querySelectorAll<HTMLMetaElement>("meta[name=theme-color]");
  for (const meta of colours) {
    const isForDark = theme === "dark" || (theme === "system" && meta.media.includes("dark"));
    meta.content = isForDark ? "#171614" : "#ffffff";
  }
}

export const useTheme = create<{ theme: Theme }>()(() => ({
  theme: (localStorage.getItem(storageKey) as Theme | null) ?? "system",
}));

export function setTheme(theme: Theme) {
  localStorage.setItem(storageKey, theme);
  useTheme.setState({ theme });
  apply(theme);
}

apply(useTheme.getState().theme);
darkQuery?.addEventListener("change", () => apply(useTheme.getState().theme));
