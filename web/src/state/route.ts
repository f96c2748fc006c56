// The route, which is the page's address: so a reload and the back button work. Paths
// are those below the installation's own, such as /c/ID for a conversation.
import { create } from "zustand";
import { basePath } from "../net/base";

export type Route = {
  conversation: string | null;
  join: string | null;
  /** The token of an invitation to register, or with which the first account is made: in the
   * fragment of the address, which browsers send to nobody. */
  invitation: string;
  /** Which part of the administration is open. */
  administration: "accounts" | "invitations" | null;
};

/** Returns the address of a path, for links. */
export const addressOf = (path: string) => basePath.slice(0, -1) + path;

/** Returns the address of a path that can be given to others. */
export const pageURL = (path: string) => location.origin + addressOf(path);

function parseLocation(): Route {
  const { pathname } = location;
  const path = pathname.startsWith(basePath) ? pathname.slice(basePath.length) : pathname;
  const parts = path.split("/").filter(Boolean);
  return {
    conversation: parts[0] === "c" && parts[1] ? parts[1] : null,
    join: parts[0] === "join" && parts[1] ? parts[1] : null,
    invitation: parts[0] === "register" ? location.hash.slice(1) : "",
    administration: parts[0] !== "admin" ? null : parts[1] === "invitations" ? "invitations" : "accounts",
  };
}

export const useRoute = create<Route>()(parseLocation);

export function navigate(path: string) {
  const address = addressOf(path);
  if (address !== location.pathname) history.pushState(null, "", address);
  useRoute.setState(parseLocation());
}

/** Goes to a path in place of the one that is open, which is not gone back to. */
export function redirect(path: string) {
  history.replaceState(null, "", addressOf(path));
  useRoute.setState(parseLocation());
}

window.addEventListener("popstate", () => useRoute.setState(parseLocation()));
