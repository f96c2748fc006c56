import { Popover } from "@base-ui/react/popover";
import { useEffect } from "react";
import { useTranslation } from "../../i18n";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { navigate } from "../../state/route";
import { Avatar, Button, ErrorMessage } from "../../ui/controls";
import { OneLine } from "../../ui/OneLine";
import { PresenceDot } from "../../ui/PresenceDot";
import { useLayer } from "../../ui/useLayer";
import { useTask } from "../../ui/useTask";
import { useDisplayName } from "../useDisplayName";
import { usePresenceText } from "../usePresenceText";

type Props = { user: string; anchor: HTMLElement; onClose: () => void };

/** Who a person is, beside what was pressed, with the way to write to them. */
export function PersonCard({ user, anchor, onClose }: Props) {
  const { t } = useTranslation();
  const onOpenChange = useLayer(true, onClose);
  const { conversations, presence } = useSession();
  const isMe = useApp((s) => s.me?.id === user);
  const name = useDisplayName(user);
  const userName = useApp((s) => s.users[user]?.name);
  const state = useApp((s) => s.presence[user]?.state);
  const presenceText = usePresenceText(user);
  const task = useTask();
  useEffect(() => {
    presence.showPerson(user);
    return () => presence.showPerson(null);
  }, [presence, user]);

  const openDirect = async () => {
    const known = Object.values(useApp.getState().conversations).find(
      (c) => c.kind === "direct" && c.peer?.id === user,
    );
    const ok = await task.run(async () =>
      navigate("/c/" + (known ?? (await conversations.createDirect(user))).id),
    );
    if (ok) onClose();
  };
  return (
    <Popover.Root open onOpenChange={onOpenChange}>
      <Popover.Portal>
        <Popover.Positioner
          anchor={anchor}
          align="start"
          sideOffset={4}
          collisionPadding={8}
          collisionAvoidance={{ fallbackAxisSide: "none" }}
          className="z-20"
        >
          <Popover.Popup
            // It may be gone, with the conversation that was left.
            finalFocus={() => anchor.isConnected && anchor}
            className="flex w-72 max-w-[calc(100vw-1rem)] flex-col gap-3 rounded-xl border border-line bg-raised p-4 shadow-lg outline-none"
          >
            <div className="flex items-center gap-3">
              <span className="relative">
                <Avatar name={name} id={user} size={52} />
                <PresenceDot presence={state} className="h-3.5 w-3.5 border-raised" />
              </span>
              <div className="min-w-0 flex-1">
                <Popover.Title dir="auto" className="text-left font-semibold break-words">
                  {name}
                </Popover.Title>
                <OneLine className="text-sm text-dim">@{userName ?? "…"}</OneLine>
                <p className="min-h-5 text-sm text-dim">{isMe ? t("youAlone") : presenceText}</p>
              </div>
            </div>
            {task.error && <ErrorMessage>{task.error}</ErrorMessage>}
            {!isMe && (
              <Button kind="primary" disabled={task.busy} onClick={() => void openDirect()}>
                {t("messagePerson")}
              </Button>
            )}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
