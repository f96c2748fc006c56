// The route, which is the page's address: so a reload and the back button work.
import { create } from "zustand";

export type Route = { conversation: string | null; join: string | null; invitation: string };

function parseLocation(): Route {
  const parts = location.pathname.split("/").filter(Boolean);
  return {
    conversation: parts[0] === "c" && parts[1] ? parts[1] : null,
    join: parts[0] === "join" && parts[1] ? parts[1] : null,
    invitation: new URLSearchParams(location.search).get("invitation") ?? "",
  };
}

export const useRoute = create<Route>()(parseLocation);

export function navigate(path: string) {
  if (path !== location.pathname) history.pushState(null, "", path);
  useRoute.setState(parseLocation());
}

window.addEventListener("popstate", () => useRoute.setState(parseLocation()));
