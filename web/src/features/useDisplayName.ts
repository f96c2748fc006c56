import { useEffect } from "react";
import { useApp } from "../state/app";
import { useSession } from "../state/context";

/** Returns a user's display name; a user who is not known is loaded. */
export function useDisplayName(id: string | undefined): string {
  const name = useApp((s) => (id ? s.users[id]?.display_name : ""));
  const { users } = useSession();
  useEffect(() => {
    if (id && name === undefined) users.request(id);
  }, [users, id, name]);
  return name ?? "…";
}
