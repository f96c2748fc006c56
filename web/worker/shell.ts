// Keeps the page's own files, so that it opens without a network. Answers of the API are
// never kept here: what a device has of conversations is kept by account, in IndexedDB.

/** Build is the page that a worker was built with. */
export type Build = {
  /** Of the content: another page has another one. */
  version: string;
  /** The page's script, which its document names. */
  entry: string;
  /** All scripts and styles, below the page's root; each name has a hash of the content. */
  files: string[];
};

/** How long the server has to answer before the kept page is shown, in milliseconds. */
const networkBound = 3000;

/** Events of newer browsers, of which TypeScript does not know yet. */
type RoutingEvent = ExtendableEvent & {
  addRoutes?: (rule: { condition: { urlPattern: { pathname: string } }; source: "network" }) => Promise<void>;
};

/** Serves the page. Its document comes from the server, unless that cannot be reached:
 * so a page is never older than its server. Its other files are kept when the worker is
 * installed, and never asked for again, for their names have hashes. */
export function serveShell(scope: ServiceWorkerGlobalScope, build: Build) {
  const root = new URL(scope.registration.scope);
  // An origin can have several installations, each below its own path.
  const ours = `hikyaku ${root.pathname} `;
  const name = ours + build.version;
  const kept = new Set(build.files.map((f) => new URL(f, root).href));

  scope.addEventListener("install", (e) => e.waitUntil(install(e)));
  scope.addEventListener("activate", (e) => e.waitUntil(activate()));
  scope.addEventListener("fetch", (e) => {
    const { request } = e;
    if (request.method !== "GET") return;
    if (kept.has(request.url)) e.respondWith(getFile(request));
    else if (request.mode === "navigate" && isOfPage(new URL(request.url))) e.respondWith(navigate(e));
  });

  const isOfPage = (url: URL) =>
    url.href.startsWith(root.href) && !url.pathname.startsWith(root.pathname + "api/");

  async function install(e: RoutingEvent) {
    // Where a browser can be told, requests to the API do not wait for a worker to start.
    const pathname = root.pathname + "api/*";
    await e.addRoutes?.({ condition: { urlPattern: { pathname } }, source: "network" }).catch(() => {});
    const document = await fetch(root, { cache: "no-store" });
    // While a cluster gets a new version, the document may be of the other one.
    if (!document.ok || document.redirected || !(await document.clone().text()).includes(build.entry))
      throw new Error("the server has no page of this version; it is tried again at the next visit");
    const cache = await scope.caches.open(name);
    await cache.addAll(kept);
    await cache.put(root, document);
    // Pages load their files by name, so it does not matter which worker they began with.
    await scope.skipWaiting();
  }

  async function activate() {
    const names = await scope.caches.keys();
    await Promise.all(
      names.filter((n) => n.startsWith(ours) && n !== name).map((n) => scope.caches.delete(n)),
    );
    // The document is asked for while the worker starts.
    await scope.registration.navigationPreload?.enable();
    await scope.clients.claim();
  }

  /** Returns what is kept under a request or an address. */
  const find = async (request: Request | URL) =>
    (await scope.caches.open(name)).match(request instanceof URL ? request.href : request, {
      ignoreVary: true,
    });

  async function getFile(request: Request) {
    return (await find(request)) ?? fetch(request); // the browser may have emptied the cache
  }

  async function navigate(e: FetchEvent): Promise<Response> {
    const preload = e.preloadResponse as Promise<Response | undefined> | undefined;
    const network = Promise.resolve(preload).then((r) => r ?? fetch(e.request));
    const answer = await Promise.race([
      network.catch(() => undefined),
      new Promise<undefined>((done) => setTimeout(done, networkBound)),
    ]);
    // A proxy answers in place of a server that is away.
    if (answer && answer.status < 500) return answer;
    return (await find(root)) ?? network;
  }
}
