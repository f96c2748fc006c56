import { useTranslation } from "../i18n";
import { useApp } from "../state/app";
import { formatDateTime } from "../ui/time";

/** Says whether a user is there, or when they were seen last; "" where that is not known. */
export function usePresenceText(user: string | undefined): string {
  const { t, i18n } = useTranslation();
  const presence = useApp((s) => (user ? s.presence[user] : undefined));
  if (!presence) return "";
  if (presence.state === "offline" && presence.last_seen)
    return t("lastSeen", { when: formatDateTime(presence.last_seen, i18n.language) });
  return t(presence.state);
}
