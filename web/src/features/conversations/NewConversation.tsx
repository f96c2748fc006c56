import { useState, type FormEvent } from "react";
import { useTranslation } from "../../i18n";
import type { User } from "../../protocol/types";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Button, ErrorMessage, Field } from "../../ui/controls";
import { Modal } from "../../ui/Modal";
import { useTask } from "../../ui/useTask";
import { PeoplePicker } from "./PeoplePicker";

export type NewKind = "direct" | "group" | "channel";

export function NewConversation({ kind, onClose }: { kind: NewKind; onClose: () => void }) {
  const { t } = useTranslation();
  const { conversations } = useSession();
  const [title, setTitle] = useState("");
  const [topic, setTopic] = useState("");
  const [picked, setPicked] = useState<User[]>([]);
  const task = useTask();

  const createAndOpen = async (create: () => Promise<{ id: string }>) => {
    const ok = await task.run(async () => navigate("/c/" + (await create()).id));
    if (ok) onClose();
  };
  const pick = (u: User) => {
    if (kind === "direct") return void createAndOpen(() => conversations.createDirect(u.id));
    setPicked((p) => (p.some((x) => x.id === u.id) ? p.filter((x) => x.id !== u.id) : [...p, u]));
  };
  const submit = (e: FormEvent) => {
    e.preventDefault();
    if (kind !== "direct")
      void createAndOpen(() =>
        conversations.create(
          kind,
          title,
          topic,
          picked.map((u) => u.id),
        ),
      );
  };
  return (
    <Modal
      open
      title={t(kind === "direct" ? "newDirect" : kind === "group" ? "newGroup" : "newChannel")}
      onClose={onClose}
    >
      <form onSubmit={submit} className="flex flex-col gap-4">
        {kind !== "direct" && (
          <>
            <Field
              label={t("title")}
              value={title}
              onChange={(e) => setTitle(e.target.value)}
              required
              maxLength={80}
            />
            <Field
              label={t("topic")}
              hint={t("topicHint")}
              value={topic}
              onChange={(e) => setTopic(e.target.value)}
              maxLength={250}
            />
          </>
        )}
        <PeoplePicker picked={picked} onPick={pick} />
        {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
        {kind !== "direct" && (
          <Button kind="primary" type="submit" disabled={task.busy || !title.trim()}>
            {t("create")}
          </Button>
        )}
      </form>
    </Modal>
  );
}
