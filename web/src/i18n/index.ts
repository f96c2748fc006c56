import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { en } from "./en";
import { ja } from "./ja";

const storageKey = "hikyaku-language";
export const languages = { en: "English", ja: "日本語" } as const;
export type Language = keyof typeof languages;

function preferredLanguage(): Language {
  const saved = localStorage.getItem(storageKey);
  if (saved === "en" || saved === "ja") return saved;
  return navigator.language.startsWith("ja") ? "ja" : "en";
}

export function setLanguage(language: Language) {
  localStorage.setItem(storageKey, language);
  document.documentElement.lang = language;
  void i18next.changeLanguage(language);
}

void i18next.use(initReactI18next).init({
  resources: { en: { translation: en }, ja: { translation: ja } },
  lng: preferredLanguage(),
  fallbackLng: "en",
  interpolation: { escapeValue: false },
});
document.documentElement.lang = i18next.language;
