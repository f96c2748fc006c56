import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useApp } from "../state/app";
import { useSession } from "../state/context";
import { navigate, useRoute } from "../state/route";
import { previewOf } from "../text/preview";
import { ConversationList } from "./conversations/ConversationList";
import { JoinDialog } from "./conversations/JoinDialog";
import { ConversationView } from "./timeline/ConversationView";

export function ChatScreen() {
  const { t } = useTranslation();
  const { presence } = useSession();
  const route = useRoute();
  const ready = useApp((s) => s.ready);
  const current = useApp((s) => (route.conversation ? s.conversations[route.conversation] : undefined));
  const count = useApp((s) => Object.keys(s.conversations).length);

  useEffect(() => presence.watch(), [presence, count, ready]);
  // Close a conversation that the user is no longer in.
  useEffect(() => {
    if (ready && route.conversation && !current) navigate("/");
  }, [ready, route.conversation, current]);

  return (
    <div className="flex h-full flex-col">
      <ConnectionStatus />
      <StorageStatus />
      <div className="flex min-h-0 flex-1">
        <aside
          className={`w-full min-w-0 flex-col border-r border-line bg-panel md:flex md:w-80 md:shrink-0 ${current ? "hidden" : "flex"}`}
        >
          <ConversationList selected={route.conversation} />
        </aside>
        <main className={`min-w-0 flex-1 flex-col md:flex ${current ? "flex" : "hidden"}`}>
          {current ? (
            <ConversationView key={current.id} conversation={current} />
          ) : (
            <div className="flex flex-1 flex-col items-center justify-center gap-2 p-8 text-center">
              <img src="/icon.svg" alt="" width={48} height={48} className="opacity-80" />
              <h1 className="text-lg font-semibold">{t("pickConversation")}</h1>
              <p className="max-w-sm text-dim">{t("pickConversationHint")}</p>
            </div>
          )}
        </main>
      </div>
      {route.join && <JoinDialog token={route.join} />}
      <Announcer />
    </div>
  );
}

function ConnectionStatus() {
  const { t } = useTranslation();
  const connection = useApp((s) => s.connection);
  const [visible, setVisible] = useState(false);
  // A connection that is back at once needs no notice.
  useEffect(() => {
    if (connection === "open") {
      setVisible(false);
      return;
    }
    const timer = setTimeout(() => setVisible(true), 1200);
    return () => clearTimeout(timer);
  }, [connection]);
  return (
    <div
      role="status"
      className={visible ? "border-b border-line bg-accent-soft px-4 py-1.5 text-center text-sm" : "sr-only"}
    >
      {visible ? t("reconnecting") : ""}
    </div>
  );
}

function StorageStatus() {
  const { t } = useTranslation();
  const failed = useApp((s) => s.storageFailed);
  return (
    <div
      role="status"
      className={failed ? "border-b border-line bg-panel px-4 py-1 text-center text-sm text-dim" : "sr-only"}
    >
      {failed ? t("storageFailed") : ""}
    </div>
  );
}

/** Announces messages that arrive to screen readers. */
function Announcer() {
  const session = useSession();
  const [text, setText] = useState("");
  useEffect(
    () =>
      session.onMessage((m) =>
        setText(`${useApp.getState().users[m.sender]?.display_name ?? ""}: ${previewOf(m.body, 200)}`),
      ),
    [session],
  );
  return (
    <div aria-live="polite" className="sr-only">
      {text}
    </div>
  );
}
