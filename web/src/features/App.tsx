import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { boot, hurry, setAway } from "../state/actions";
import { unreadOf, useApp } from "../state/app";
import { Button } from "../ui/controls";
import { AuthScreen } from "./auth/AuthScreen";
import { ChatScreen } from "./ChatScreen";

export function App() {
  const { t } = useTranslation();
  const me = useApp((s) => s.me);
  const installation = useApp((s) => s.installation);
  const [failed, setFailed] = useState(false);
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    boot().then(
      () => setFailed(false),
      () => setFailed(true),
    );
  }, [attempt]);

  // A page that was opened without a network tries by itself.
  useEffect(() => {
    if (!failed) return;
    const timer = setTimeout(() => setAttempt((n) => n + 1), 3000);
    return () => clearTimeout(timer);
  }, [failed, attempt]);

  useEffect(() => {
    const seen = () => {
      setAway(document.visibilityState === "hidden");
      if (document.visibilityState === "visible") hurry();
    };
    window.addEventListener("online", hurry);
    document.addEventListener("visibilitychange", seen);
    return () => {
      window.removeEventListener("online", hurry);
      document.removeEventListener("visibilitychange", seen);
    };
  }, []);

  useTitle();

  if (me) return <ChatScreen />;
  if (installation) return <AuthScreen />;
  return (
    <main className="flex h-full flex-col items-center justify-center gap-4 p-6 text-dim">
      {failed ? (
        <>
          <h1 className="text-lg">{t("code_offline")}</h1>
          <Button onClick={() => setAttempt((n) => n + 1)}>{t("retry")}</Button>
        </>
      ) : (
        <p role="status">{t("connecting")}</p>
      )}
    </main>
  );
}

/** The window's title tells how much is unread. */
function useTitle() {
  const unread = useApp((s) =>
    Object.values(s.conversations).reduce((n, c) => n + unreadOf(c, s.readHere[c.id] ?? 0), 0),
  );
  useEffect(() => {
    document.title = unread > 0 ? `(${unread > 99 ? "99+" : unread}) Hikyaku` : "Hikyaku";
  }, [unread]);
}
