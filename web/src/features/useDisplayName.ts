import { useEffect } from "react";
import type { Summary } from "../protocol/types";
import { useApp } from "../state/app";
import { useSession } from "../state/context";

/** Returns a user's display name; a user who is not known is loaded. */
export function useDisplayName(id: string | undefined): string {
  const name = useApp((s) => (id ? s.users[id]?.display_name : ""));
  const { users } = useSession();
  useEffect(() => (id ? users.show(id) : undefined), [users, id]);
  return name ?? "…";
}

/** Returns the name of a conversation: of a direct one, that of the other person. */
export function useConversationName(c: Summary): string {
  const peer = useDisplayName(c.kind === "direct" ? c.peer?.id : undefined);
  return c.kind === "direct" ? peer || "…" : c.title;
}
