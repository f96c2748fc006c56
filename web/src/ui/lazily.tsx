import { useEffect, useState, type ComponentType } from "react";
import { useTranslation } from "../i18n";
import { Button } from "./controls";

type State = "loading" | "failed" | "loaded";

/** What loads the components that are made by lazily. */
const loads = new Set<() => Promise<unknown>>();

/** Returns a component whose code is not part of the first load. It is loaded when the
 * component is first shown, or before that by preload or loadAhead. A part of the page that cannot be
 * loaded, since the server is away or has another version by now, says so and can be
 * tried again; the rest of the page goes on. */
export function lazily<P extends object>(
  load: () => Promise<ComponentType<P>>,
): ComponentType<P> & { preload: () => Promise<void> } {
  let loaded: ComponentType<P> | undefined;
  let loading: Promise<void> | undefined;
  const loadOnce = () =>
    (loading ??= load().then(
      (component) => {
        loaded = component;
        loads.delete(loadOnce);
      },
      (e) => {
        loading = undefined;
        throw e;
      },
    ));
  loads.add(loadOnce);

  function Lazily(props: P) {
    const [state, setState] = useState<State>("loading");
    useEffect(() => {
      if (loaded || state !== "loading") return;
      let current = true;
      const show = (s: State) => current && setState(s);
      loadOnce().then(
        () => show("loaded"),
        (e) => {
          console.warn("a part of the page cannot be loaded", e);
          show("failed");
        },
      );
      return () => {
        current = false;
      };
    }, [state]);
    const Component = loaded;
    if (Component) return <Component {...props} />;
    const { onClose } = props as { onClose?: () => void };
    return state === "failed" ? <LoadFailed onRetry={() => setState("loading")} onClose={onClose} /> : null;
  }
  return Object.assign(Lazily, { preload: loadOnce });
}

/** Loads what is left, one part after the other, so that it is there when it is needed:
 * without a network, and after the server has got another version. */
export async function loadAhead() {
  for (const load of [...loads]) await load().catch(() => {}); // tried again when it is shown
}

function LoadFailed({ onRetry, onClose }: { onRetry: () => void; onClose?: () => void }) {
  const { t } = useTranslation();
  return (
    <div
      role="alert"
      className="fixed inset-x-4 bottom-4 z-20 mx-auto flex max-w-lg flex-wrap items-center gap-2 rounded-xl border border-line bg-raised p-3 shadow-lg"
    >
      <p className="min-w-48 flex-1">{t("partMissing")}</p>
      <Button onClick={onRetry}>{t("tryAgain")}</Button>
      <Button onClick={() => location.reload()}>{t("reloadPage")}</Button>
      {onClose && <Button onClick={onClose}>{t("close")}</Button>}
    </div>
  );
}
