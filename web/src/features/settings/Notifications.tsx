import { useEffect } from "react";
import { useTranslation } from "../../i18n";
import { useApp } from "../../state/app";
import { useClient } from "../../state/context";
import { usePush } from "../../state/push";
import { ErrorMessage } from "../../ui/controls";
import { useTask } from "../../ui/useTask";

/** Switches push notifications on this device on and off. */
export function Notifications() {
  const { t } = useTranslation();
  const { push } = useClient();
  const user = useApp((s) => s.me!.id);
  const state = usePush((s) => s.state);
  const task = useTask();
  useEffect(() => void push.refreshState(user).catch(() => {}), [push, user]);
  if (state === "hidden") return null;
  const blocked = state === "unsupported" || state === "denied";
  const toggle = () => {
    // Not disabled while busy: that would take the focus away.
    if (!task.busy) void task.run(() => (state === "on" ? push.disable(user) : push.enable(user)));
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
          disabled={blocked}
          aria-busy={task.busy}
          aria-describedby={blocked ? "notifications-hint" : undefined}
          onChange={toggle}
        />
        {t("notifyHere")}
      </label>
      {blocked && (
        <p id="notifications-hint" className="text-sm text-dim">
          {t(state === "denied" ? "notifyDenied" : "notifyUnsupported")}
        </p>
      )}
      {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
    </section>
  );
}
