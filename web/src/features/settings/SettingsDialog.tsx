import { useCallback, useState, type FormEvent } from "react";
import { useTranslation, type Translate } from "../../i18n";
import type { Session } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useClient, useSession } from "../../state/context";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { deviceName, type DeviceName } from "../../ui/device";
import { Modal } from "../../ui/Modal";
import { formatDateTime } from "../../ui/time";
import { useLoad } from "../useLoad";
import { useQuestion } from "../../ui/useQuestion";
import { useTask } from "../../ui/useTask";
import { LanguageSwitch, ThemeSwitch } from "./Appearance";
import { LogOut } from "./LogOut";
import { Notifications } from "./Notifications";

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal side open title={t("settings")} onClose={onClose}>
      <Profile />
      <section className="flex flex-col gap-3 border-t border-line pt-4">
        <h2 className="font-semibold">{t("appearance")}</h2>
        <div className="flex flex-wrap gap-4">
          <LanguageSwitch />
          <ThemeSwitch />
        </div>
      </section>
      <Notifications />
      <Password />
      <Devices />
      <LogOut />
    </Modal>
  );
}

function Profile() {
  const { t } = useTranslation();
  const session = useSession();
  const me = useApp((s) => s.me)!;
  const [name, setName] = useState(me.display_name);
  const [saved, setSaved] = useState(false);
  const task = useTask();
  const submit = (e: FormEvent) => {
    e.preventDefault();
    void task.run(() => session.changeDisplayName(name)).then(setSaved);
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-3">
      <h2 className="font-semibold">{t("profile")}</h2>
      <Field
        label={t("displayName")}
        value={name}
        onChange={(e) => (setName(e.target.value), setSaved(false), task.clear())}
        error={task.error || undefined}
      />
      <div className="flex items-center gap-3">
        <Button type="submit" disabled={task.busy || name === me.display_name}>
          {t("save")}
        </Button>
        <span role="status" className="text-sm text-ok">
          {saved && t("saved")}
        </span>
      </div>
    </form>
  );
}

function Password() {
  const { t } = useTranslation();
  const session = useSession();
  const [current, setCurrent] = useState("");
  const [replacement, setReplacement] = useState("");
  const [done, setDone] = useState(false);
  const task = useTask();
  // Too many wrong attempts are those at the current one.
  const isOfCurrent = task.field === "old" || task.code === "rate_limited";
  const isOfReplacement = !isOfCurrent && ["new", "password"].includes(task.field);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    void task
      .run(() => session.changePassword(current, replacement))
      .then((ok) => {
        setDone(ok);
        if (ok) {
          setCurrent("");
          setReplacement("");
        }
      });
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-3 border-t border-line pt-4">
      <h2 className="font-semibold">{t("changePassword")}</h2>
      <Field
        label={t("oldPassword")}
        type="password"
        autoComplete="current-password"
        value={current}
        onChange={(e) => (setCurrent(e.target.value), task.clear())}
        required
        error={isOfCurrent ? task.error : undefined}
      />
      <Field
        label={t("newPassword")}
        type="password"
        autoComplete="new-password"
        hint={t("passwordHint")}
        value={replacement}
        onChange={(e) => (setReplacement(e.target.value), task.clear())}
        required
        error={isOfReplacement ? task.error : undefined}
      />
      {task.error && !isOfCurrent && !isOfReplacement && <ErrorMessage>{task.error}</ErrorMessage>}
      <p role="status" className="text-sm text-ok empty:hidden">
        {done && t("passwordChanged")}
      </p>
      <Button type="submit" disabled={task.busy} className="self-start">
        {t("changePassword")}
      </Button>
    </form>
  );
}

function describe(t: Translate, { program, system }: DeviceName) {
  return system ? t("deviceOn", { program, system }) : program;
}

function Devices() {
  const { t, i18n } = useTranslation();
  const { rest } = useClient();
  const fetchSessions = useCallback(
    async () => (await rest.get<{ items: Session[] }>("/sessions")).items,
    [rest],
  );
  const [sessions, load, loadError] = useLoad<Session[]>(fetchSessions, []);
  const [dialog, ask] = useQuestion();
  const askToEnd = (s: Session) =>
    ask({
      title: t("logOutDeviceQuestion", { device: describe(t, deviceName(s.device)) }),
      consequence: t("logOutDeviceHint"),
      action: t("logOutDevice"),
      run: async () => (await rest.delete("/sessions/" + s.id), await load()),
    });
  return (
    <section className="flex flex-col gap-2 border-t border-line pt-4">
      <h2 className="font-semibold">{t("devices")}</h2>
      {loadError && <ErrorMessage>{loadError}</ErrorMessage>}
      <ul className="flex flex-col gap-2">
        {sessions.map((s) => (
          <li key={s.id} className="flex items-center gap-2">
            <span className="min-w-0 flex-1">
              <span className="block truncate text-sm" title={s.device}>
                {describe(t, deviceName(s.device))}
              </span>
              <span className="block text-xs text-dim">
                {s.current ? t("thisDevice") : formatDateTime(s.seen_at, i18n.language)}
              </span>
            </span>
            {!s.current && <Button onClick={() => askToEnd(s)}>{t("logOutDevice")}</Button>}
          </li>
        ))}
      </ul>
      {dialog}
    </section>
  );
}
