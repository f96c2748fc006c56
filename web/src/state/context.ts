import { createContext, useContext } from "react";
import type { Client } from "./client";
import type { Session } from "./session";

export const ClientContext = createContext<Client | null>(null);

export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("there is no ClientContext around this component");
  return client;
}

/** The session of the user who is logged in, for components that exist only then. */
export function useSession(): Session {
  const { session } = useClient();
  if (!session) throw new Error("nobody is logged in");
  return session;
}
