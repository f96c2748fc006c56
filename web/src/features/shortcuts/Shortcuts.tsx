import { useEffect, useState } from "react";
import { useTranslation } from "../../i18n";
import { Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { lazily } from "../../ui/lazily";
import { actionOf, keysOf } from "./shortcuts";

const ConversationSwitcher = lazily(() =>
  import("./ConversationSwitcher").then((m) => m.ConversationSwitcher),
);
const ShortcutsDialog = lazily(() => import("./ShortcutsDialog").then((m) => m.ShortcutsDialog));

/** What the page's own shortcuts open, with a button for each. */
export function Shortcuts() {
  const { t } = useTranslation();
  const [open, setOpen] = useState<"switch" | "showShortcuts" | null>(null);
  useEffect(() => {
    const onKeyDown = (e: KeyboardEvent) => {
      const action = e.isComposing || e.defaultPrevented ? undefined : actionOf("page", e);
      if (!action || (action === "showShortcuts" && takesText(e.target))) return;
      e.preventDefault(); // also where nothing opens: the browser would leave the page
      const inTheWay = document.querySelector("[role=dialog], [role=alertdialog], [role=menu]");
      setOpen((now) => (now === action ? null : inTheWay ? now : action));
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  const close = () => setOpen(null);
  return (
    <>
      <Button
        kind="ghost"
        aria-label={t("switchConversation")}
        aria-keyshortcuts={keysOf("switch")}
        title={t("switchConversation")}
        onClick={() => setOpen("switch")}
      >
        <Icon name="search" />
      </Button>
      <Button
        kind="ghost"
        // Of no use to most who touch a screen; a keyboard's ? opens it there too.
        className="pointer-coarse:hidden"
        aria-label={t("shortcuts")}
        aria-keyshortcuts={keysOf("showShortcuts")}
        title={t("shortcuts")}
        onClick={() => setOpen("showShortcuts")}
      >
        <Icon name="keyboard" />
      </Button>
      {open === "switch" && <ConversationSwitcher onClose={close} />}
      {open === "showShortcuts" && <ShortcutsDialog onClose={close} />}
    </>
  );
}

const takesText = (e: EventTarget | null) =>
  e instanceof HTMLElement && (e.isContentEditable || e.matches("input, textarea, select"));
