import { useCallback } from "react";
import { useTranslation } from "../../i18n";
import type { Conversation } from "../../protocol/types";
import { useClient, useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button, ErrorMessage } from "../../ui/controls";
import { Modal } from "../../ui/Modal";
import { useLoad } from "../useLoad";
import { useTask } from "../../ui/useTask";

/** Asks whether to join the conversation of an invitation link. */
export function JoinDialog({ token }: { token: string }) {
  const { t } = useTranslation();
  const { rest } = useClient();
  const { conversations } = useSession();
  const ask = useCallback(
    async () =>
      (await rest.get<{ conversation: Conversation }>("/links/" + encodeURIComponent(token))).conversation,
    [rest, token],
  );
  const [conversation, , loadError] = useLoad<Conversation | null>(ask, null);
  const task = useTask();
  return (
    <Modal open title={t("joinByLink")} onClose={() => navigate("/")}>
      {loadError && <ErrorMessage>{loadError}</ErrorMessage>}
      {!conversation && !loadError && <p role="status">{t("openingConversation")}</p>}
      {conversation && (
        <>
          <p className="text-dim">{t("joinQuestion")}</p>
          <div className="flex items-center gap-3">
            <Avatar name={conversation.title} id={conversation.id} size={44} />
            <div className="min-w-0">
              <p dir="auto" className="text-left font-semibold break-words">
                {conversation.title}
              </p>
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
