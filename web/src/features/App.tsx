import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "../i18n";
import { unreadOf, useApp } from "../state/app";
import { useClient } from "../state/context";
import { Button } from "../ui/controls";
import { lazily } from "../ui/lazily";
import { Logo } from "../ui/Logo";
import { ChatScreen } from "./ChatScreen";

const AuthScreen = lazily(() => import("./auth/AuthScreen").then((m) => m.AuthScreen));
const OtherAccount = lazily(() => import("./auth/OtherAccount").then((m) => m.OtherAccount));

export function App() {
  const { t } = useTranslation();
  const client = useClient();
  const me = useApp((s) => s.me);
  const takenBy = useApp((s) => s.takenBy);
  const installation = useApp((s) => s.installation);
  const hasNetwork = useApp((s) => s.hasNetwork);
  const [failed, setFailed] = useState(false);
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    client.start().then(
      () => setFailed(false),
      () => setFailed(true),
    );
  }, [client, attempt]);

  // A page that was opened without a network retries by itself.
  useEffect(() => {
    if (!failed) return;
    const again = () => setAttempt((n) => n + 1);
    const timer = setTimeout(again, 3000);
    window.addEventListener("online", again);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("online", again);
    };
  }, [failed, attempt]);

  useEffect(() => {
    const onNetworkChange = () => client.networkChanged(navigator.onLine);
    const onVisibilityChange = () => {
      const visible = document.visibilityState === "visible";
      client.session?.presence.setAway(!visible);
      if (visible) client.reconnectNow();
      else client.session?.leave();
    };
    const onUse = () => client.session?.attended();
    onNetworkChange();
    window.addEventListener("keydown", onUse, { passive: true });
    window.addEventListener("pointerdown", onUse, { passive: true });
    window.addEventListener("online", onNetworkChange);
    window.addEventListener("offline", onNetworkChange);
    document.addEventListener("visibilitychange", onVisibilityChange);
    return () => {
      window.removeEventListener("keydown", onUse);
      window.removeEventListener("pointerdown", onUse);
      window.removeEventListener("online", onNetworkChange);
      window.removeEventListener("offline", onNetworkChange);
      document.removeEventListener("visibilitychange", onVisibilityChange);
    };
  }, [client]);

  if (me)
    return (
      <>
        <WindowTitle />
        <ChatScreen />
      </>
    );
  if (takenBy) return <OtherAccount {...takenBy} />;
  if (installation) return <AuthScreen />;
  return (
    <main className="flex h-full flex-col items-center justify-center gap-4 p-6 text-dim">
      {failed ? (
        <>
          <Logo size={56} />
          <h1 className="text-lg">{t(hasNetwork ? "code_offline" : "youAreOffline")}</h1>
          <Button onClick={() => setAttempt((n) => n + 1)}>{t("tryNow")}</Button>
        </>
      ) : (
        <p role="status">{t("connecting")}</p>
      )}
    </main>
  );
}

/** Shows the number of unread messages in the window's title. It is a component of its
 * own, since it looks at every message. */
function WindowTitle() {
  const conversations = useApp((s) => s.conversations);
  const readMarks = useApp((s) => s.localReadMarks);
  const unread = useMemo(
    () => Object.values(conversations).reduce((n, c) => n + unreadOf(c, readMarks[c.id] ?? 0), 0),
    [conversations, readMarks],
  );
  useEffect(() => {
    document.title = unread > 0 ? `(${unread > 99 ? "99+" : unread}) Hikyaku` : "Hikyaku";
  }, [unread]);
  useEffect(() => () => void (document.title = "Hikyaku"), []);
  return null;
}
