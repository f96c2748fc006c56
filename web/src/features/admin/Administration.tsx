import { useEffect, useRef } from "react";
import { useTranslation } from "../../i18n";
import { useApp } from "../../state/app";
import { addressOf, navigate, type Route } from "../../state/route";
import { Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { useReturnToList } from "../conversations/useReturnToList";
import { Invitations } from "../Invitations";
import { Accounts } from "./Accounts";

type Part = NonNullable<Route["administration"]>;

const paths: Record<Part, string> = { accounts: "/admin", invitations: "/admin/invitations" };

/** What administrators of the installation do: accounts, and invitations to register. */
export function Administration({ part }: { part: Part }) {
  const { t } = useTranslation();
  useReturnToList();
  const isAdmin = useApp((s) => s.me!.admin);
  const heading = useRef<HTMLHeadingElement>(null);
  // The page is another one: who reads with a screen reader is told, and goes on from there.
  useEffect(() => heading.current?.focus(), []);
  return (
    <>
      <header className="flex items-center gap-2 border-b border-line px-3 py-2">
        <Button kind="ghost" aria-label={t("back")} title={t("back")} onClick={() => navigate("/")}>
          <Icon name="back" />
        </Button>
        <h1 ref={heading} tabIndex={-1} className="flex-1 truncate py-2 font-semibold outline-none">
          {t("administration")}
        </h1>
      </header>
      {isAdmin ? (
        <div className="mx-auto flex min-h-0 w-full max-w-3xl flex-1 flex-col gap-3 px-4 pt-3">
          <nav aria-label={t("administration")} className="flex gap-1">
            {(["accounts", "invitations"] as const).map((p) => (
              <a
                key={p}
                href={addressOf(paths[p])}
                aria-current={p === part ? "page" : undefined}
                onClick={(e) => {
                  e.preventDefault();
                  navigate(paths[p]);
                }}
                className="rounded-lg px-3 py-2 font-medium text-dim hover:text-fg aria-[current]:bg-accent-soft aria-[current]:text-fg"
              >
                {t(p)}
              </a>
            ))}
          </nav>
          {part === "accounts" ? (
            <Accounts />
          ) : (
            <div className="min-h-0 flex-1 overflow-y-auto pb-4">
              <Invitations
                path="/invitations"
                title={t("invitations")}
                create={t("newInvitation")}
                question={t("revokeInvitationQuestion")}
                consequence={t("revokeInvitationHint")}
              />
            </div>
          )}
        </div>
      ) : (
        <p role="alert" className="p-8 text-center text-dim">
          {t("administratorsOnly")}
        </p>
      )}
    </>
  );
}
