import { useCallback, useState } from "react";
import { useTranslation } from "../../i18n";
import type { ChannelEntry } from "../../protocol/types";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { Modal } from "../../ui/Modal";
import { PagedList } from "../../ui/PagedList";
import { useDebounced } from "../../ui/useDebounced";
import { usePages } from "../usePages";
import { useTask } from "../../ui/useTask";

export function FindChannels({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const { conversations } = useSession();
  const [text, setText] = useState("");
  const task = useTask();
  const query = useDebounced(text);
  const ask = useCallback(
    (cursor: string) => conversations.findChannels(query, cursor),
    [conversations, query],
  );
  const found = usePages<ChannelEntry>(ask);
  const openChannel = async (entry: ChannelEntry) => {
    const id = entry.conversation.id;
    const ok = await task.run(async () => {
      if (!entry.member) await conversations.joinChannel(id);
      navigate("/c/" + id);
    });
    if (ok) onClose();
  };
  return (
    <Modal open title={t("findChannels")} onClose={onClose}>
      <Field
        label={t("searchChannels")}
        type="search"
        value={text}
        onChange={(e) => setText(e.target.value)}
        autoFocus
      />
      {(task.error || found.error) && <ErrorMessage>{task.error || found.error}</ErrorMessage>}
      {found.loaded && found.items.length === 0 && <p className="py-3 text-sm text-dim">{t("noChannels")}</p>}
      <PagedList label={t("findChannels")} pages={found}>
        {(entry) => (
          <div
            key={entry.conversation.id}
            className="flex items-center gap-3 rounded-xl px-2 py-2 hover:bg-panel"
          >
            <span className="text-dim">
              <Icon name="hash" />
            </span>
            <span className="min-w-0 flex-1">
              <bdi className="block font-medium break-words">{entry.conversation.title}</bdi>
              <bdi className="line-clamp-2 text-sm break-words text-dim">{entry.conversation.topic}</bdi>
              <span className="block text-sm text-dim">
                {t("members", { count: entry.conversation.members })}
              </span>
            </span>
            <Button disabled={task.busy} onClick={() => void openChannel(entry)}>
              {entry.member ? t("open") : t("join")}
              <span className="sr-only">{entry.conversation.title}</span>
            </Button>
          </div>
        )}
      </PagedList>
    </Modal>
  );
}
