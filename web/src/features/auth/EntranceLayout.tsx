import type { ReactNode } from "react";
import { useTranslation } from "../../i18n";
import { Logo } from "../../ui/Logo";
import { LanguageSwitch } from "../settings/Appearance";

/** The layout of what is shown before the page is anybody's. */
export function EntranceLayout({ children }: { children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-6 bg-panel p-4">
      <div className="flex flex-col items-center gap-2 text-center">
        <Logo size={56} />
        <h1 className="text-2xl font-bold tracking-tight">
          Hikyaku <span className="font-normal text-dim">飛脚</span>
        </h1>
        <p className="text-dim">{t("tagline")}</p>
      </div>
      {children}
      <LanguageSwitch />
    </main>
  );
}
