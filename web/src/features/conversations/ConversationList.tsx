import { memo, useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import { failedElsewhere, useApp } from "../../state/app";
import { addressOf, navigate } from "../../state/route";
import { Avatar, Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { lazily } from "../../ui/lazily";
import { Logo } from "../../ui/Logo";
import { MenuButton } from "../../ui/MenuButton";
import { OneLine } from "../../ui/OneLine";
import { Shortcuts } from "../shortcuts/Shortcuts";
import { ConversationRows } from "./ConversationRows";
import type { NewKind } from "./NewConversation";

const FailedMessages = lazily(() => import("./FailedMessages").then((m) => m.FailedMessages));
const FindChannels = lazily(() => import("./FindChannels").then((m) => m.FindChannels));
const NewConversation = lazily(() => import("./NewConversation").then((m) => m.NewConversation));
const SettingsDialog = lazily(() => import("../settings/SettingsDialog").then((m) => m.SettingsDialog));

export const ConversationList = memo(function ConversationList({ selected }: { selected: string | null }) {
  const { t } = useTranslation();
  const me = useApp((s) => s.me)!;
  const hasFailed = useApp((s) => failedElsewhere(s).length > 0);
  const [creating, setCreating] = useState<NewKind | null>(null);
  const [browsing, setBrowsing] = useState(false);
  const [settings, setSettings] = useState(false);
  const createDirect = useCallback(() => setCreating("direct"), []);

  return (
    <>
      <header className="flex items-center gap-1 px-3 pt-3 pb-2">
        <Logo size={28} />
        <h1 className="min-w-0 flex-1 truncate px-1 font-semibold tracking-tight">Hikyaku</h1>
        <Shortcuts />
        <Button
          kind="ghost"
          aria-label={t("findChannels")}
          title={t("findChannels")}
          onClick={() => setBrowsing(true)}
        >
          <Icon name="compass" />
        </Button>
        <MenuButton
          label={t("newConversation")}
          title={t("newConversation")}
          className="rounded-lg p-2 text-dim hover:bg-line/50 hover:text-fg"
          entries={[
            { key: "direct", label: t("newDirect"), onSelect: () => setCreating("direct") },
            { key: "group", label: t("newGroup"), onSelect: () => setCreating("group") },
            { key: "channel", label: t("newChannel"), onSelect: () => setCreating("channel") },
          ]}
        >
          <Icon name="plus" />
        </MenuButton>
      </header>
      {hasFailed && <FailedMessages />}
      <ConversationRows selected={selected} onCreate={createDirect} />
      <footer className="flex items-center gap-1 border-t border-line p-2">
        <button
          type="button"
          onClick={() => setSettings(true)}
          className="flex min-w-0 flex-1 items-center gap-3 rounded-xl px-2 py-2 text-left hover:bg-line/50"
        >
          <Avatar name={me.display_name} id={me.id} size={32} />
          <span className="min-w-0 flex-1">
            <OneLine className="font-medium">{me.display_name}</OneLine>
            <OneLine className="text-sm text-dim">@{me.name}</OneLine>
          </span>
          <span className="text-dim">
            <Icon name="settings" />
            <span className="sr-only">{t("settings")}</span>
          </span>
        </button>
        {me.admin && (
          <a
            href={addressOf("/admin")}
            aria-label={t("administration")}
            title={t("administration")}
            onClick={(e) => {
              e.preventDefault();
              navigate("/admin");
            }}
            className="rounded-lg p-3 text-dim hover:bg-line/50 hover:text-fg"
          >
            <Icon name="shield" />
          </a>
        )}
      </footer>
      {creating && <NewConversation kind={creating} onClose={() => setCreating(null)} />}
      {browsing && <FindChannels onClose={() => setBrowsing(false)} />}
      {settings && <SettingsDialog onClose={() => setSettings(false)} />}
    </>
  );
});
