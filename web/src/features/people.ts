import { useEffect } from "react";
import { useApp } from "../state/app";
import { useSession } from "../state/context";

/** A person's display name; an unknown person is looked up. */
export function usePersonName(id: string | undefined): string {
  const name = useApp((s) => (id ? s.users[id]?.display_name : ""));
  const { users } = useSession();
  useEffect(() => {
    if (id && name === undefined) users.request(id);
  }, [users, id, name]);
  return name ?? "…";
}
