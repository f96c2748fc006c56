import { useTranslation } from "../i18n";
import { useApp } from "../state/app";
import { formatDateTime, formatTime } from "../ui/time";
import { useToday } from "../ui/useToday";

/** Says whether a user is there, or when they were seen last; "" where that is not known. */
export function usePresenceText(user: string | undefined): string {
  const { t, i18n } = useTranslation();
  const presence = useApp((s) => (user ? s.presence[user] : undefined));
  const today = useToday();
  if (!presence) return "";
  const { state, last_seen } = presence;
  if (state === "offline" && last_seen)
    return t("lastSeen", {
      when: (last_seen >= today ? formatTime : formatDateTime)(last_seen, i18n.language),
    });
  return t(state);
}
