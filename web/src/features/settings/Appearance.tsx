import { useTranslation } from "../../i18n";
import { languages, setLanguage, type Language } from "../../i18n";
import { setTheme, useTheme, type Theme } from "../../state/theme";

export function LanguageSwitch() {
  const { t, i18n } = useTranslation();
  return (
    <label className="flex items-center gap-2 text-sm text-dim">
      {t("language")}
      <select
        value={i18n.language}
        onChange={(e) => setLanguage(e.target.value as Language)}
        className="rounded-lg border border-line bg-bg px-2 py-1 text-fg"
      >
        {Object.entries(languages).map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function ThemeSwitch() {
  const { t } = useTranslation();
  const theme = useTheme((s) => s.theme);
  return (
    <label className="flex items-center gap-2 text-sm text-dim">
      {t("theme")}
      <select
        value={theme}
        onChange={(e) => setTheme(e.target.value as Theme)}
        className="rounded-lg border border-line bg-bg px-2 py-1 text-fg"
      >
        {(["system", "light", "dark"] as const).map((x) => (
          <option key={x} value={x}>
            {t(x)}
          </option>
        ))}
      </select>
    </label>
  );
}
