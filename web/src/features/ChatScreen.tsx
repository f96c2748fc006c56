import { useEffect, useState } from "react";
import { useTranslation } from "../i18n";
import { useApp } from "../state/app";
import { useSession } from "../state/context";
import { navigate, useRoute } from "../state/route";
import { lazily, loadAhead } from "../ui/lazily";
import { ConversationList } from "./conversations/ConversationList";

const ConversationView = lazily(() => import("./timeline/ConversationView").then((m) => m.ConversationView));
const JoinDialog = lazily(() => import("./conversations/JoinDialog").then((m) => m.JoinDialog));

export function ChatScreen() {
  const { t } = useTranslation();
  const route = useRoute();
  const ready = useApp((s) => s.ready);
  const isOpen = useApp((s) => route.conversation !== null && route.conversation in s.conversations);

  // While the list is on its way. The rest is loaded when there is nothing else to do.
  useEffect(() => void ConversationView.preload().catch(() => {}), []);
  useEffect(() => {
    if (ready) whenIdle(() => void loadAhead());
  }, [ready]);
  // Close a conversation that the user is no longer in.
  useEffect(() => {
    if (ready && route.conversation && !isOpen) navigate("/");
  }, [ready, route.conversation, isOpen]);

  return (
    <div className="flex h-full flex-col">
      <ConnectionStatus />
      <StorageStatus />
      <div className="flex min-h-0 flex-1">
        <aside
          className={`w-full min-w-0 flex-col border-r border-line bg-panel md:flex md:w-80 md:shrink-0 ${isOpen ? "hidden" : "flex"}`}
        >
          <ConversationList selected={route.conversation} />
        </aside>
        <main className={`min-w-0 flex-1 flex-col md:flex ${isOpen ? "flex" : "hidden"}`}>
          {isOpen && route.conversation ? (
            <OpenConversation key={route.conversation} id={route.conversation} />
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

/** Calls f when the page has drawn and has nothing to do. */
function whenIdle(f: () => void) {
  if ("requestIdleCallback" in window) requestIdleCallback(f);
  else setTimeout(f, 1000); // Safari
}

function OpenConversation({ id }: { id: string }) {
  const conversation = useApp((s) => s.conversations[id]);
  return conversation ? <ConversationView conversation={conversation} /> : null;
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
        setText(`${useApp.getState().users[m.sender]?.display_name ?? ""}: ${m.body.slice(0, 200)}`),
      ),
    [session],
  );
  return (
    <div aria-live="polite" className="sr-only">
      {text}
    </div>
  );
}
