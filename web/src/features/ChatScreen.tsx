import { useEffect } from "react";
import { useTranslation } from "../i18n";
import { useApp } from "../state/app";
import { useSession } from "../state/context";
import { navigate, useRoute } from "../state/route";
import { loadPreviews } from "../text/usePreview";
import { announce, Announcer } from "../ui/Announcer";
import { Button } from "../ui/controls";
import { whenIdle } from "../state/idle";
import { lazily, loadAhead } from "../ui/lazily";
import { Logo } from "../ui/Logo";
import { ConversationList } from "./conversations/ConversationList";
import { StatusBanner, useIsConnectionLost } from "./StatusBanner";

const ConversationView = lazily(() => import("./timeline/ConversationView").then((m) => m.ConversationView));
const Administration = lazily(() => import("./admin/Administration").then((m) => m.Administration));
const JoinDialog = lazily(() => import("./conversations/JoinDialog").then((m) => m.JoinDialog));

export function ChatScreen() {
  const route = useRoute();
  const ready = useApp((s) => s.ready);
  const isMember = useApp((s) => route.conversation !== null && route.conversation in s.conversations);

  // While the list is on its way. The rest is loaded when there is nothing else to do.
  useEffect(() => void ConversationView.preload().catch(() => {}), []);
  useEffect(() => {
    if (ready) whenIdle(() => void loadAhead());
  }, [ready]);

  const isOpen = route.conversation !== null || route.administration !== null;
  return (
    <>
      <main className="flex h-full flex-col">
        <StatusBanner />
        <div className="flex min-h-0 flex-1">
          <div
            className={`w-full min-w-0 flex-col border-r border-line bg-panel md:flex md:w-80 md:shrink-0 ${isOpen ? "hidden" : "flex"}`}
          >
            <ConversationList selected={route.conversation} />
          </div>
          <div className={`min-w-0 flex-1 flex-col md:flex ${isOpen ? "flex" : "hidden"}`}>
            {route.administration ? (
              <Administration part={route.administration} />
            ) : isMember && route.conversation ? (
              <OpenConversation key={route.conversation} id={route.conversation} />
            ) : route.conversation ? (
              <AbsentConversation key={route.conversation} id={route.conversation} />
            ) : (
              <NoConversation />
            )}
          </div>
        </div>
      </main>
      {route.join && <JoinDialog token={route.join} />}
      <MessageAnnouncer />
    </>
  );
}

/** Stands where a conversation will be. */
function NoConversation() {
  const { t } = useTranslation();
  const isEmpty = useApp((s) => s.ready && Object.keys(s.conversations).length === 0);
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-2 p-8 text-center">
      <Logo size={48} />
      <h2 className="text-lg font-semibold">{t(isEmpty ? "startConversation" : "pickConversation")}</h2>
      <p className="max-w-sm text-balance text-dim">
        {isEmpty
          ? t("keptSafe")
          : t("twoSentences", { first: t("pickConversationHint"), second: t("keptSafe") })}
      </p>
    </div>
  );
}

function OpenConversation({ id }: { id: string }) {
  const conversation = useApp((s) => s.conversations[id]);
  return conversation ? <ConversationView conversation={conversation} /> : null;
}

/** Stands for a conversation that is not there: not yet, not any more, or never. */
function AbsentConversation({ id }: { id: string }) {
  const { t } = useTranslation();
  const ready = useApp((s) => s.ready);
  const left = useApp((s) => s.left[id]);
  const isLost = useIsConnectionLost();
  if (!ready)
    return (
      <div className="flex flex-1 flex-col items-center justify-center gap-2 p-8 text-center text-dim">
        <p role="status">{t(isLost ? "messagesAbsent" : "openingConversation")}</p>
      </div>
    );
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-2 p-8 text-center">
      <div role="alert" className="flex max-w-sm flex-col gap-2">
        <h1 className="text-lg font-semibold break-words">
          {left ? t("noLongerIn", { name: left }) : t("noSuchConversation")}
        </h1>
        <p className="text-balance text-dim">{t(left ? "noLongerInHint" : "noSuchConversationHint")}</p>
      </div>
      <Button className="mt-2" onClick={() => navigate("/")}>
        {t("back")}
      </Button>
    </div>
  );
}

/** Announces messages that arrive to screen readers. */
function MessageAnnouncer() {
  const session = useSession();
  useEffect(() => {
    let last = Promise.resolve();
    return session.onMessage((m) => {
      const preview = loadPreviews().then(
        ({ previewOf }) => previewOf(m.body, 200),
        () => m.body.slice(0, 200),
      );
      const text = Promise.all([session.users.nameOf(m.sender), preview]);
      last = last.then(async () => announce((await text).join(": ")));
    });
  }, [session]);
  return <Announcer />;
}
