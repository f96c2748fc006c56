// The texts of the page. They need words with names and numbers in them, and plurals:
// docs/decisions/0014-texts.md tells why that is here and not a library's.
import { create } from "zustand";
import { en } from "./en";

const storageKey = "hikyaku-language";
export const languages = { en: "English", ja: "日本語" } as const;
export type Language = keyof typeof languages;

type WithoutPlural<K extends string> = K extends `${infer Base}_${"one" | "other"}` ? Base : K;
/** What a text is called; one with a plural without its form. */
export type TextKey = WithoutPlural<keyof typeof en>;

/** The values of what stands as {{name}} in a text; count chooses the plural. */
type Values = Record<string, string | number>;

export type Translate = {
  (key: TextKey, values?: Values): string;
  /** For keys that are made of what the server says: the default is for those that are not known. */
  (key: string, values: Values & { defaultValue: string }): string;
};

type Translation = { t: Translate; i18n: { language: Language } };

function translation(language: Language, texts: Record<string, string>): Translation {
  const plurals = new Intl.PluralRules(language);
  const t = (key: string, values?: Values & { defaultValue?: string }) => {
    if (!values) return texts[key] ?? key;
    const form =
      typeof values.count === "number" ? texts[`${key}_${plurals.select(values.count)}`] : undefined;
    const text = form ?? texts[key];
    if (text === undefined) return values.defaultValue ?? key;
    return text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(values[name] ?? ""));
  };
  return { t, i18n: { language } };
}

/** English is there from the beginning, and stands for a language that cannot be loaded. */
const translations = { en: translation("en", en) } as { en: Translation } & Partial<
  Record<Language, Translation>
>;

/** Loads the texts of a language, unless they are there. */
export async function loadLanguage(language: Language): Promise<void> {
  if (!translations[language]) translations.ja = translation("ja", (await import("./ja")).ja);
}

function preferredLanguage(): Language {
  const saved = localStorage.getItem(storageKey);
  if (saved === "en" || saved === "ja") return saved;
  return navigator.language.startsWith("ja") ? "ja" : "en";
}

const useLanguage = create<{ language: Language }>()(() => ({ language: preferredLanguage() }));
document.documentElement.lang = useLanguage.getState().language;

export function setLanguage(language: Language) {
  localStorage.setItem(storageKey, language);
  const show = () => {
    document.documentElement.lang = language;
    useLanguage.setState({ language });
  };
  if (translations[language]) show();
  else void loadLanguage(language).then(show, (e: unknown) => console.warn("no texts of the language", e));
}

/** Loads the texts of the page's language. It does not fail: without them it is English. */
export async function loadPreferredLanguage(): Promise<void> {
  const { language } = useLanguage.getState();
  await loadLanguage(language).catch((e: unknown) => {
    console.warn("no texts of the language", e);
    document.documentElement.lang = "en";
    useLanguage.setState({ language: "en" });
  });
}

/** Returns what translates now, for what does not change with the language. */
export function currentTranslation(): Translation {
  return translations[useLanguage.getState().language] ?? translations.en;
}

/** Returns what translates into the page's language; the same functions while it is the same. */
export function useTranslation(): Translation {
  return translations[useLanguage((s) => s.language)] ?? translations.en;
}
