/** The path below which the installation is served, with a slash at its end: what the
 * page's <base> says. */
export const basePath = globalThis.document?.querySelector("base")?.getAttribute("href") ?? "/";
