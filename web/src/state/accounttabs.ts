// What the tabs of one browser tell each other about who is logged in: they share
// a cookie, and the server knows it, but a page does not see it change.
import type { User } from "../protocol/types";

/** Somebody has logged in, with which session, or an account has logged out, in another tab. */
export type AccountNews = { t: "in"; user: User; session: string } | { t: "out"; user: string };

/** AccountTabs are the other tabs. News may be lost, as by a tab that sleeps: the
 * server refuses what a tab does for an account that is not logged in any more. */
export type AccountTabs = {
  tell(news: AccountNews): void;
  onNews: (news: AccountNews) => void;
};

export function openAccountTabs(): AccountTabs {
  const tabs: AccountTabs = { tell: () => {}, onNews: () => {} };
  if (typeof BroadcastChannel === "undefined") return tabs;
  const channel = new BroadcastChannel("hikyaku-account");
  tabs.tell = (news) => channel.postMessage(news);
  channel.onmessage = (e: MessageEvent<AccountNews>) => tabs.onNews(e.data);
  return tabs;
}
