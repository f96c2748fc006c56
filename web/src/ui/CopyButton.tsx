import { useTranslation } from "../i18n";
import { Button } from "./controls";
import { Icon } from "./icons";
import { useCopy } from "./useCopy";

/** Shows a link, with a button that copies it. */
export function CopyButton({ text }: { text: string }) {
  const { t } = useTranslation();
  const [label, copy] = useCopy();
  return (
    <div className="flex items-center gap-2 rounded-lg border border-line bg-panel p-2">
      <input
        readOnly
        aria-label={t("invitationLinks")}
        value={text}
        onFocus={(e) => e.target.select()}
        className="min-w-0 flex-1 bg-transparent text-sm outline-none"
      />
      <Button aria-live="polite" onClick={() => copy(text)}>
        <Icon name="copy" size={16} /> {label}
      </Button>
    </div>
  );
}
