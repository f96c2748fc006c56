import { useTranslation } from "../i18n";

type Props = {
  presence: "online" | "away" | "offline" | undefined;
  /** Its size, and the colour of what is behind it. */
  className: string;
};

/** Shows at an avatar's corner that somebody is online or away; nothing otherwise. */
export function PresenceDot({ presence, className }: Props) {
  const { t } = useTranslation();
  if (!presence || presence === "offline") return null;
  return (
    <span
      role="img"
      aria-label={t(presence)}
      className={`absolute -right-0.5 -bottom-0.5 rounded-full border-2 ${presence === "online" ? "bg-ok" : "bg-away"} ${className}`}
    />
  );
}
