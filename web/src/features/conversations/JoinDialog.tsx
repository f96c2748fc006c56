import { useEffect, useState } from "react";
import { useTranslation } from "../../i18n";
import type { Conversation } from "../../protocol/types";
import { useClient, useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button, ErrorMessage } from "../../ui/controls";
import { Modal } from "../../ui/Modal";
import { useTask } from "../../ui/useTask";

/** Asks whether to join the conversation of an invitation link. */
export function JoinDialog({ token }: { token: string }) {
  const { t } = useTranslation();
  const { rest } = useClient();
  const { conversations } = useSession();
  const [conversation, setConversation] = useState<Conversation | null>(null);
  const [invalid, setInvalid] = useState(false);
  const task = useTask();
  useEffect(() => {
    rest.get<{ conversation: Conversation }>("/links/" + encodeURIComponent(token)).then(
      (l) => setConversation(l.conversation),
      () => setInvalid(true),
    );
  }, [rest, token]);
  return (
    <Modal open title={t("joinByLink")} onClose={() => navigate("/")}>
      {invalid && <ErrorMessage>{t("linkInvalid")}</ErrorMessage>}
      {conversation && (
        <>
          <p className="text-dim">{t("joinQuestion")}</p>
          <div className="flex items-center gap-3">
            <Avatar name={conversation.title} id={conversation.id} size={44} />
            <div className="min-w-0">
              <p className="truncate font-semibold">{conversation.title}</p>
              <p className="text-sm text-dim">{t("members", { count: conversation.members })}</p>
            </div>
          </div>
          {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
          <Button
            kind="primary"
            disabled={task.busy}
            onClick={() =>
              void task.run(async () => navigate("/c/" + (await conversations.joinByLink(token)).id))
            }
          >
            {t("join")}
          </Button>
        </>
      )}
    </Modal>
  );
}
