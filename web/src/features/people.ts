import { useEffect } from "react";
import { needUser } from "../state/actions";
import { useApp } from "../state/app";

/** A person's display name; an unknown person is looked up. */
export function usePersonName(id: string | undefined): string {
  const name = useApp((s) => (id ? s.users[id]?.display_name : ""));
  useEffect(() => {
    if (id && name === undefined) needUser(id);
  }, [id, name]);
  return name ?? "…";
}
