import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { User } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { Avatar, ErrorMessage, Field } from "../../ui/controls";
import { OneLine } from "../../ui/OneLine";
import { PagedList } from "../../ui/PagedList";
import { useDebounced } from "../../ui/useDebounced";
import { usePages } from "../usePages";

type Props = { picked: User[]; onPick: (user: User) => void; exclude?: string[] };

/** Finds people by name while the user types. */
export function PeoplePicker({ picked, onPick, exclude = [] }: Props) {
  const { t } = useTranslation();
  const { users } = useSession();
  const me = useApp((s) => s.me)!;
  const [text, setText] = useState("");
  const query = useDebounced(text.trim());
  const ask = useCallback((cursor: string) => users.find(query, cursor), [users, query]);
  const found = usePages<User>(ask);
  const choices = found.items.filter((u) => u.id !== me.id && !exclude.includes(u.id));
  return (
    <div className="flex flex-col gap-2">
      <Field
        label={t("findPeople")}
        value={text}
        onChange={(e) => setText(e.target.value)}
        type="search"
        autoFocus
      />
      {found.error && <ErrorMessage>{found.error}</ErrorMessage>}
      {found.loaded && choices.length === 0 && <p className="px-2 py-3 text-sm text-dim">{t("noPeople")}</p>}
      <PagedList label={t("people")} pages={{ ...found, items: choices }} maxHeight="max-h-64">
        {(u) => {
          const isPicked = picked.some((p) => p.id === u.id);
          return (
            <button
              key={u.id}
              type="button"
              aria-pressed={isPicked}
              onClick={() => onPick(u)}
              className={`flex w-full items-center gap-3 rounded-xl px-2 py-2 text-left ${isPicked ? "bg-accent-soft" : "hover:bg-panel"}`}
            >
              <Avatar name={u.display_name} id={u.id} size={32} />
              <span className="flex min-w-0 flex-1 items-baseline gap-1">
                <OneLine>{u.display_name}</OneLine>{" "}
                <OneLine className="max-w-1/2 shrink-0 text-sm text-dim">@{u.name}</OneLine>
              </span>
              {isPicked && <span aria-hidden>✓</span>}
            </button>
          );
        }}
      </PagedList>
    </div>
  );
}
