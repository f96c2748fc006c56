import { useState } from "react";
import { useTranslation } from "../i18n";
import { Button } from "./controls";
import { Icon } from "./icons";

/** Shows a link, with a button that copies it. */
export function CopyButton({ text }: { text: string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  return (
    <div className="flex items-center gap-2 rounded-lg border border-line bg-panel p-2">
      <input
        readOnly
        aria-label={t("invitationLinks")}
        value={text}
        onFocus={(e) => e.target.select()}
        className="min-w-0 flex-1 bg-transparent text-sm outline-none"
      />
      <Button onClick={() => void navigator.clipboard?.writeText(text).then(() => setCopied(true))}>
        <Icon name="copy" size={16} /> {copied ? t("copied") : t("copy")}
      </Button>
    </div>
  );
}
