import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { Avatar, Field } from "../../ui/controls";

type Props = { picked: User[]; onPick: (user: User) => void; exclude?: string[] };

/** Finds people by name while the user types. */
export function PeoplePicker({ picked, onPick, exclude = [] }: Props) {
  const { t } = useTranslation();
  const { users } = useSession();
  const me = useApp((s) => s.me)!;
  const [text, setText] = useState("");
  const [found, setFound] = useState<User[] | null>(null);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      users
        .find(text)
        .then((f) => current && setFound(f))
        .catch(() => current && setFound([]));
    }, 150);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [users, text]);
  const choices = found?.filter((u) => u.id !== me.id && !exclude.includes(u.id)) ?? [];
  return (
    <div className="flex flex-col gap-2">
      <Field
        label={t("findPeople")}
        value={text}
        onChange={(e) => setText(e.target.value)}
        type="search"
        autoFocus
      />
      <ul aria-label={t("people")} className="flex max-h-64 flex-col gap-0.5 overflow-y-auto">
        {choices.map((u) => {
          const isPicked = picked.some((p) => p.id === u.id);
          return (
            <li key={u.id}>
              <button
                type="button"
                aria-pressed={isPicked}
                onClick={() => onPick(u)}
                className={`flex w-full items-center gap-3 rounded-xl px-2 py-2 text-left ${isPicked ? "bg-accent-soft" : "hover:bg-panel"}`}
              >
                <Avatar name={u.display_name} id={u.id} size={32} />
                <span className="min-w-0 flex-1 truncate">
                  <bdi>{u.display_name}</bdi> <span className="text-sm text-dim">@{u.name}</span>
                </span>
                {isPicked && <span aria-hidden>✓</span>}
              </button>
            </li>
          );
        })}
        {found && choices.length === 0 && <li className="px-2 py-3 text-sm text-dim">{t("noPeople")}</li>}
      </ul>
    </div>
  );
}
