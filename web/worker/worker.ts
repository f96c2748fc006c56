// The service worker. Its two halves know nothing of each other: what the page is loaded
// from, and the notifications of one who has no page open.
import { serveNotifications } from "./notifications";
import { serveShell, type Build } from "./shell";

/** Put here by the build. */
declare const BUILD: Build;

const scope = self as unknown as ServiceWorkerGlobalScope;
serveShell(scope, BUILD);
serveNotifications(scope);
