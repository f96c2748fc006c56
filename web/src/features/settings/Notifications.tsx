import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useApp } from "../../state/app";
import { lookAtPush, switchPushOff, switchPushOn, usePush } from "../../state/push";
import { ErrorLine } from "../../ui/controls";
import { useTask } from "../../ui/useTask";

/** Whether this device is notified while no page is open. */
export function Notifications() {
  const { t } = useTranslation();
  const user = useApp((s) => s.me!.id);
  const state = usePush((s) => s.state);
  const task = useTask();
  useEffect(() => void lookAtPush(user).catch(() => {}), [user]);
  if (state === "hidden") return null;
  const barred = state === "unsupported" || state === "denied";
  const flip = () => {
    // Not disabled meanwhile: that would take the focus away.
    if (!task.busy) void task.run(() => (state === "on" ? switchPushOff() : switchPushOn(user)));
  };
  return (
    <section className="flex flex-col gap-1 border-t border-line pt-4">
      <h2 className="font-semibold">{t("notifications")}</h2>
      <label className="flex items-center gap-2 py-1 text-sm has-disabled:text-dim">
        <input
          type="checkbox"
          role="switch"
          className="size-4 accent-accent"
          checked={state === "on"}
          disabled={barred}
          aria-busy={task.busy}
          aria-describedby={barred ? "notifications-hint" : undefined}
          onChange={flip}
        />
        {t("notifyHere")}
      </label>
      {barred && (
        <p id="notifications-hint" className="text-sm text-dim">
          {t(state === "denied" ? "notifyDenied" : "notifyUnsupported")}
        </p>
      )}
      {task.error && <ErrorLine>{task.error}</ErrorLine>}
    </section>
  );
}
