import { v7 } from "uuid";

// What the server's clock is ahead of ours. Ids are made from the server's
// time, so that a device with a wrong clock names its messages like any other.
let ahead = 0;

export function setServerTime(ms: number) {
  ahead = ms - Date.now();
}

export function serverNow(): number {
  return Date.now() + ahead;
}

export function newMessageId(): string {
  return v7({ msecs: Math.round(serverNow()) });
}
