import { useTranslation } from "../../i18n";
import { Modal } from "../../ui/Modal";
import { setSingleKeys, useSingleKeys } from "../../state/singlekeys";
import { isMac, isSingleKey, shortcuts } from "./shortcuts";

/** What stands on the keys, where that is not their name. */
const signs: Record<string, string> = {
  ...{
    ArrowUp: "↑",
    ArrowDown: "↓",
    ContextMenu: "☰",
    Escape: "Esc",
    PageUp: "Page Up",
    PageDown: "Page Down",
  },
  Mod: isMac ? "⌘" : "Ctrl",
};

/** Shows all shortcuts. */
export function ShortcutsDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const singleKeys = useSingleKeys((s) => s.isOn);
  const isUsed = (key: string) => singleKeys || !isSingleKey(key);
  return (
    <Modal open title={t("shortcuts")} onClose={onClose}>
      <label className="flex items-center gap-2">
        <input type="checkbox" checked={singleKeys} onChange={(e) => setSingleKeys(e.target.checked)} />
        {t("singleKeys")}
      </label>
      {/* Can have the focus, so that keys scroll. */}
      <div role="group" aria-label={t("shortcuts")} tabIndex={0} className="flex flex-col gap-4 rounded-lg">
        {Object.entries(shortcuts).map(([part, { title, shortcuts }]) => (
          <section key={part}>
            <h2 className="pb-1 font-semibold">{t(title)}</h2>
            <dl className="divide-y divide-line">
              {shortcuts
                .filter(({ keys }) => Object.keys(keys).some(isUsed))
                .map(({ text, keys }) => (
                  <div
                    key={text}
                    className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 py-1.5"
                  >
                    <dt>{t(text)}</dt>
                    <dd className="flex flex-wrap gap-x-3 gap-y-1">
                      {Object.keys(keys)
                        .filter(isUsed)
                        .map((key) => (
                          <KeyCombination key={key} keys={key.split("+")} />
                        ))}
                    </dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
    </Modal>
  );
}

function KeyCombination({ keys }: { keys: string[] }) {
  return (
    <kbd className="flex gap-1 font-sans">
      {keys.map((key) => (
        <kbd
          key={key}
          aria-label={key in signs && key !== "Mod" ? key : undefined}
          className="min-w-7 rounded-md border border-line bg-panel px-1.5 text-center font-sans text-sm leading-6"
        >
          {signs[key] ?? key}
        </kbd>
      ))}
    </kbd>
  );
}
