import { Menu } from "@base-ui/react/menu";
import { useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import type { Summary } from "../../protocol/types";
import { byActivity, conversationName, unreadOf, useApp } from "../../state/app";
import { navigate } from "../../state/route";
import { Avatar, Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { formatShortTime } from "../../ui/time";
import { useToday } from "../../ui/useToday";
import { SettingsDialog } from "../settings/SettingsDialog";
import { useDisplayName } from "../useDisplayName";
import { FailedMessages } from "./FailedMessages";
import { FindChannels } from "./FindChannels";
import { NewConversation, type NewKind } from "./NewConversation";

export function ConversationList({ selected }: { selected: string | null }) {
  const { t } = useTranslation();
  const me = useApp((s) => s.me)!;
  const ready = useApp((s) => s.ready);
  const conversations = useApp((s) => s.conversations);
  const [creating, setCreating] = useState<NewKind | null>(null);
  const [browsing, setBrowsing] = useState(false);
  const [settings, setSettings] = useState(false);
  const list = byActivity(conversations);

  // Arrow keys move the focus through the list.
  const moveFocus = (e: KeyboardEvent<HTMLElement>) => {
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    const links = [...e.currentTarget.querySelectorAll<HTMLElement>("a")];
    const focused = links.indexOf(document.activeElement as HTMLElement);
    const next = links[focused + (e.key === "ArrowDown" ? 1 : -1)];
    if (next) {
      e.preventDefault();
      next.focus();
    }
  };

  return (
    <>
      <header className="flex items-center gap-1 px-3 pt-3 pb-2">
        <img src="/icon.svg" alt="" width={28} height={28} />
        <span className="flex-1 px-1 font-semibold tracking-tight">Hikyaku</span>
        <Button
          kind="ghost"
          aria-label={t("findChannels")}
          title={t("findChannels")}
          onClick={() => setBrowsing(true)}
        >
          <Icon name="compass" />
        </Button>
        <Menu.Root>
          <Menu.Trigger
            aria-label={t("newConversation")}
            title={t("newConversation")}
            className="rounded-lg p-2 text-dim hover:bg-line/50 hover:text-fg"
          >
            <Icon name="plus" />
          </Menu.Trigger>
          <Menu.Portal>
            <Menu.Positioner sideOffset={4} align="end">
              <Menu.Popup className="z-10 min-w-48 rounded-xl border border-line bg-raised p-1 shadow-lg outline-none">
                {(["direct", "group", "channel"] as const).map((kind) => (
                  <Menu.Item
                    key={kind}
                    onClick={() => setCreating(kind)}
                    className="cursor-pointer rounded-lg px-3 py-2 outline-none data-highlighted:bg-accent-soft"
                  >
                    {t(kind === "direct" ? "newDirect" : kind === "group" ? "newGroup" : "newChannel")}
                  </Menu.Item>
                ))}
              </Menu.Popup>
            </Menu.Positioner>
          </Menu.Portal>
        </Menu.Root>
      </header>
      <FailedMessages />
      <nav
        aria-label={t("conversations")}
        className="min-h-0 flex-1 overflow-y-auto px-2 pb-2"
        onKeyDown={moveFocus}
      >
        {!ready && list.length === 0 && <Skeleton />}
        {ready && list.length === 0 && (
          <div className="flex flex-col items-center gap-2 px-6 py-12 text-center">
            <p className="font-medium">{t("noConversations")}</p>
            <p className="text-sm text-dim">{t("noConversationsHint")}</p>
            <Button kind="primary" className="mt-2" onClick={() => setCreating("direct")}>
              {t("newDirect")}
            </Button>
          </div>
        )}
        <ul className="flex flex-col gap-0.5">
          {list.map((c) => (
            <ConversationRow key={c.id} conversation={c} selected={c.id === selected} />
          ))}
        </ul>
      </nav>
      <footer className="border-t border-line p-2">
        <button
          type="button"
          onClick={() => setSettings(true)}
          className="flex w-full items-center gap-3 rounded-xl px-2 py-2 text-left hover:bg-line/50"
        >
          <Avatar name={me.display_name} id={me.id} size={32} />
          <span className="min-w-0 flex-1">
            <span className="block truncate font-medium">{me.display_name}</span>
            <span className="block truncate text-sm text-dim">@{me.name}</span>
          </span>
          <span className="text-dim">
            <Icon name="settings" />
            <span className="sr-only">{t("settings")}</span>
          </span>
        </button>
      </footer>
      {creating && <NewConversation kind={creating} onClose={() => setCreating(null)} />}
      {browsing && <FindChannels onClose={() => setBrowsing(false)} />}
      {settings && <SettingsDialog onClose={() => setSettings(false)} />}
    </>
  );
}

function ConversationRow({ conversation: c, selected }: { conversation: Summary; selected: boolean }) {
  const { t, i18n } = useTranslation();
  useToday(); // the time of the last message is told by it
  const unread = useApp((s) => unreadOf(c, s.localReadMarks[c.id] ?? 0));
  const presence = useApp((s) => (c.peer ? s.presence[c.peer.id]?.state : undefined));
  const typingUser = useApp((s) => Object.keys(s.typing[c.id] ?? {})[0]);
  const me = useApp((s) => s.me)!;
  const typingName = useDisplayName(typingUser);
  const sender = useDisplayName(c.last?.sender);
  const name = conversationName(c);
  const preview = c.last?.deleted_at ? t("deleted") : (c.last?.body ?? c.topic ?? "");
  const prefix = c.last && c.kind !== "direct" ? (c.last.sender === me.id ? t("you") : sender) + ": " : "";
  return (
    <li>
      <a
        href={"/c/" + c.id}
        aria-current={selected ? "page" : undefined}
        onClick={(e) => {
          e.preventDefault();
          navigate("/c/" + c.id);
        }}
        className={`flex items-center gap-3 rounded-xl px-2 py-2 ${selected ? "bg-accent-soft" : "hover:bg-line/50"}`}
      >
        <span className="relative">
          <Avatar name={name} id={c.peer?.id ?? c.id} size={40} />
          {c.kind === "direct" && presence && presence !== "offline" && (
            <span
              role="img"
              aria-label={t(presence)}
              className={`absolute -right-0.5 -bottom-0.5 h-3 w-3 rounded-full border-2 border-panel ${presence === "online" ? "bg-ok" : "bg-away"}`}
            />
          )}
        </span>
        <span className="min-w-0 flex-1">
          <span className="flex items-baseline gap-2">
            <span className={`flex-1 truncate ${unread ? "font-semibold" : "font-medium"}`}>
              {c.kind === "channel" && <span className="text-dim"># </span>}
              {name}
            </span>
            <time className="shrink-0 text-xs text-dim">
              {formatShortTime(c.active_at, i18n.language, t("yesterday"))}
            </time>
          </span>
          <span className="flex items-center gap-2">
            <span className={`flex-1 truncate text-sm ${typingUser ? "text-accent" : "text-dim"}`}>
              {typingUser ? t("typing_one", { names: typingName }) : prefix + preview || "\u00a0"}
            </span>
            {unread > 0 && (
              <span
                aria-label={t("unread", { count: unread })}
                className="min-w-5 shrink-0 rounded-full bg-accent px-1.5 text-center text-xs leading-5 font-semibold text-accent-fg"
              >
                {unread > 99 ? "99+" : unread}
              </span>
            )}
          </span>
        </span>
      </a>
    </li>
  );
}

function Skeleton() {
  return (
    <div aria-hidden className="flex flex-col gap-3 p-2">
      {[0, 1, 2, 3].map((i) => (
        <div key={i} className="flex items-center gap-3">
          <div className="h-10 w-10 rounded-xl bg-line" />
          <div className="flex flex-1 flex-col gap-2">
            <div className="h-3 w-1/2 rounded bg-line" />
            <div className="h-3 w-4/5 rounded bg-line/60" />
          </div>
        </div>
      ))}
    </div>
  );
}
