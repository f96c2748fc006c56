import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { messageListeners, watchPeople } from "../state/actions";
import { useApp } from "../state/app";
import { go, useRoute } from "../state/route";
import { ConversationList } from "./conversations/ConversationList";
import { JoinDialog } from "./conversations/JoinDialog";
import { ConversationView } from "./timeline/ConversationView";

export function ChatScreen() {
  const { t } = useTranslation();
  const route = useRoute();
  const ready = useApp((s) => s.ready);
  const current = useApp((s) => (route.conversation ? s.conversations[route.conversation] : undefined));
  const peers = useApp((s) => Object.keys(s.conversations).length);

  useEffect(() => watchPeople(), [peers, ready]);
  // A conversation that one is no longer in is left.
  useEffect(() => {
    if (ready && route.conversation && !current) go("/");
  }, [ready, route.conversation, current]);

  return (
    <div className="flex h-full flex-col">
      <ConnectionLine />
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

function ConnectionLine() {
  const { t } = useTranslation();
  const connection = useApp((s) => s.connection);
  const [shown, setShown] = useState(false);
  // A connection that is back at once needs no words.
  useEffect(() => {
    if (connection === "open") {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), 1200);
    return () => clearTimeout(timer);
  }, [connection]);
  return (
    <div
      role="status"
      className={shown ? "border-b border-line bg-accent-soft px-4 py-1.5 text-center text-sm" : "sr-only"}
    >
      {shown ? t("reconnecting") : ""}
    </div>
  );
}

/** Tells screen readers of messages that arrive. */
function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    const hear = (m: { sender: string; body: string }) =>
      setText(`${useApp.getState().users[m.sender]?.display_name ?? ""}: ${m.body.slice(0, 200)}`);
    messageListeners.add(hear);
    return () => void messageListeners.delete(hear);
  }, []);
  return (
    <div aria-live="polite" className="sr-only">
      {text}
    </div>
  );
}
