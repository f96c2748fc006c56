import { useCallback, useState, type FormEvent } from "react";
import { useTranslation } from "../../i18n";
import type { LinkPreview } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { redirect, useRoute } from "../../state/route";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { useLoad } from "../useLoad";
import { useTask } from "../../ui/useTask";
import { EntranceLayout } from "./EntranceLayout";

/** Says where the address leads that the person has opened. */
function Destination() {
  const { t } = useTranslation();
  const { rest } = useClient();
  const { conversation, join } = useRoute();
  const ask = useCallback(
    async () => (join ? rest.get<LinkPreview>(`/links/${encodeURIComponent(join)}/preview`) : null),
    [rest, join],
  );
  const [link, , error] = useLoad<LinkPreview | null>(ask, null);
  if (!join && !conversation) return null;
  return (
    <p role="status" className="rounded-lg bg-accent-soft px-3 py-2 text-sm break-words empty:hidden">
      {conversation ? t("logInToOpen") : link ? t("logInToJoin", link) : error}
    </p>
  );
}

export function AuthScreen() {
  const { t } = useTranslation();
  const client = useClient();
  const installation = useApp((s) => s.installation)!;
  const notice = useApp((s) => s.notice);
  const lost = useApp((s) => s.lost);
  const invitation = useRoute((r) => r.invitation);
  const isFirstAccount = installation.first_account;
  const canRegister =
    (isFirstAccount && invitation !== "") ||
    installation.registration === "open" ||
    (installation.registration === "invitation" && invitation !== "");
  const [registering, setRegistering] = useState(isFirstAccount || invitation !== "");
  const [name, setName] = useState(client.lastUser?.name ?? "");
  const [displayName, setDisplayName] = useState("");
  const [password, setPassword] = useState("");
  const task = useTask();
  const isRegistration = registering && canRegister;

  const submit = (e: FormEvent) => {
    e.preventDefault();
    void task.run(async () => {
      if (isRegistration) await client.register(name, displayName, password, invitation);
      else await client.logIn(name, password);
      if (invitation) redirect("/"); // it is used, and a secret
    });
  };
  const fieldError = (field: string) => (task.field === field ? task.error : undefined);

  if (isFirstAccount && !invitation) {
    return (
      <EntranceLayout>
        <section className="flex w-full max-w-sm flex-col gap-2 rounded-2xl border border-line bg-bg p-6 shadow-sm">
          <h2 className="text-lg font-semibold">{t("setup")}</h2>
          <p>{t("setupNeeded")}</p>
        </section>
      </EntranceLayout>
    );
  }
  return (
    <EntranceLayout>
      <form
        onSubmit={submit}
        className="flex w-full max-w-sm flex-col gap-4 rounded-2xl border border-line bg-bg p-6 shadow-sm"
      >
        <h2 className="text-lg font-semibold">{isRegistration ? t("register") : t("login")}</h2>
        <Destination />
        {notice && (
          <p role="status" className="rounded-lg bg-accent-soft px-3 py-2 text-sm">
            {t(notice)}
          </p>
        )}
        {lost > 0 && (
          <p role="status" className="rounded-lg bg-accent-soft px-3 py-2 text-sm">
            {t("messagesLost", { count: lost })}
          </p>
        )}
        {isFirstAccount && <p className="rounded-lg bg-accent-soft px-3 py-2 text-sm">{t("firstAccount")}</p>}
        {!isFirstAccount && isRegistration && invitation && (
          <p className="rounded-lg bg-accent-soft px-3 py-2 text-sm">{t("invited")}</p>
        )}
        <Field
          label={t("name")}
          value={name}
          onChange={(e) => setName(e.target.value)}
          autoComplete="username"
          autoCapitalize="none"
          required
          autoFocus
          error={fieldError("name")}
        />
        {isRegistration && (
          <Field
            label={t("displayName")}
            hint={t("displayNameHint")}
            value={displayName}
            onChange={(e) => setDisplayName(e.target.value)}
            autoComplete="nickname"
            error={fieldError("display_name")}
          />
        )}
        <Field
          label={t("password")}
          type="password"
          hint={isRegistration ? t("passwordHint") : undefined}
          value={password}
          onChange={(e) => setPassword(e.target.value)}
          autoComplete={isRegistration ? "new-password" : "current-password"}
          required
          error={fieldError("password")}
        />
        {task.error && !["name", "display_name", "password"].includes(task.field) && (
          <ErrorMessage>{task.error}</ErrorMessage>
        )}
        <Button kind="primary" type="submit" disabled={task.busy}>
          {isRegistration ? t("register") : t("login")}
        </Button>
        {!isFirstAccount && (
          <p className="text-center text-sm text-dim">
            {canRegister ? (
              <>
                {isRegistration ? t("haveAccount") : t("noAccount")}{" "}
                <button
                  type="button"
                  className="font-medium text-accent underline underline-offset-2"
                  onClick={() => {
                    task.clear();
                    setRegistering(!registering);
                  }}
                >
                  {isRegistration ? t("login") : t("register")}
                </button>
              </>
            ) : installation.registration === "closed" ? (
              t("registrationClosed")
            ) : (
              t("invitationNeeded")
            )}
          </p>
        )}
      </form>
    </EntranceLayout>
  );
}
