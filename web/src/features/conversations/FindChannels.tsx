import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { ChannelEntry } from "../../protocol/types";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { Modal } from "../../ui/Modal";
import { useTask } from "../../ui/useTask";

export function FindChannels({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const { conversations } = useSession();
  const [text, setText] = useState("");
  const [found, setFound] = useState<ChannelEntry[] | null>(null);
  const task = useTask();
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      conversations
        .findChannels(text)
        .then((f) => current && setFound(f))
        .catch(() => current && setFound([]));
    }, 150);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [conversations, text]);
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
      {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
      <ul className="flex flex-col gap-1">
        {found?.map((entry) => (
          <li
            key={entry.conversation.id}
            className="flex items-center gap-3 rounded-xl px-2 py-2 hover:bg-panel"
          >
            <span className="text-dim">
              <Icon name="hash" />
            </span>
            <span className="min-w-0 flex-1">
              <bdi className="block truncate font-medium">{entry.conversation.title}</bdi>
              <span className="block truncate text-sm text-dim">
                {t("members", { count: entry.conversation.members })}
                {entry.conversation.topic && " · " + entry.conversation.topic}
              </span>
            </span>
            <Button disabled={task.busy} onClick={() => void openChannel(entry)}>
              {entry.member ? t("open") : t("join")}
              <span className="sr-only">{entry.conversation.title}</span>
            </Button>
          </li>
        ))}
        {found?.length === 0 && <li className="py-3 text-sm text-dim">{t("noChannels")}</li>}
      </ul>
    </Modal>
  );
}
