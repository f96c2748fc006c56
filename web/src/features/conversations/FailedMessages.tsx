import { useMemo } from "react";
import { useTranslation } from "../../i18n";
import { failedElsewhere, useApp } from "../../state/app";
import { useSession } from "../../state/context";
import type { OutboxMessage } from "../../sync/outbox";
import { Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { OneLine } from "../../ui/OneLine";
import { refusalText } from "../../ui/problem";
import { useCopy } from "../../ui/useCopy";
import { useQuestion } from "../../ui/useQuestion";
import { discardQuestion } from "../discardQuestion";

/** Shows the messages that were not sent to conversations that are gone. */
export function FailedMessages() {
  const { t } = useTranslation();
  const ready = useApp((s) => s.ready);
  const outbox = useApp((s) => s.outbox);
  const conversations = useApp((s) => s.conversations);
  const failed = useMemo(
    () => failedElsewhere({ ready, outbox, conversations }),
    [ready, outbox, conversations],
  );
  if (failed.length === 0) return null;
  return (
    <section
      aria-labelledby="failed-messages"
      aria-live="polite"
      className="mx-2 mb-2 max-h-[45%] shrink-0 overflow-y-auto rounded-xl border border-line bg-raised px-3 pt-3 pb-1"
    >
      <h2 id="failed-messages" className="text-sm font-semibold text-danger">
        {t("failed")}
      </h2>
      <ul className="flex flex-col divide-y divide-line">
        {failed.map((m) => (
          <FailedMessage key={m.id} message={m} />
        ))}
      </ul>
    </section>
  );
}

function FailedMessage({ message: m }: { message: OutboxMessage }) {
  const { t } = useTranslation();
  const { messages } = useSession();
  const conversation = useApp((s) => s.left[m.conversation]);
  const [label, copy] = useCopy();
  const [dialog, ask] = useQuestion();
  return (
    <li className="flex flex-col gap-1 pt-2 pb-3">
      {conversation && <OneLine className="text-sm text-dim">{conversation}</OneLine>}
      <p dir="auto" className="line-clamp-4 break-words whitespace-pre-wrap">
        {m.body}
      </p>
      {m.code && <p className="text-sm text-dim">{refusalText(t, { code: m.code, field: "body" })}</p>}
      <div className="flex flex-wrap gap-2 text-sm">
        <Button aria-live="polite" onClick={() => copy(m.body)}>
          <Icon name="copy" size={16} /> {label}
        </Button>
        <Button kind="danger" onClick={() => ask(discardQuestion(t, () => messages.discard(m.id)))}>
          {t("discard")}
        </Button>
      </div>
      {dialog}
    </li>
  );
}
