// The API's part for notifications.
import { call, get, put } from "./rest";

export type PushSubscriptionBody = { endpoint: string; keys: { p256dh: string; auth: string } };

/** The key that a browser subscribes with; a Problem with status 404 when the
 * installation does not push. */
export const pushKey = async () => (await get<{ public_key: string }>("/push")).public_key;

export const putSubscription = (s: PushSubscriptionBody) => put<void>("/push/subscription", s);

export const deleteSubscription = (endpoint: string) =>
  call<void>("DELETE", "/push/subscription", { endpoint });
