// The REST API. Every refusal is a Problem with a code that translations go by.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field?: string,
    readonly retryAfterMs?: number,
  ) {
    super(detail);
  }
}

/** Told when the session turns out to have ended. */
let onUnauthenticated = () => {};

export function whenUnauthenticated(f: () => void) {
  onUnauthenticated = f;
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch("/api/v1" + path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new Problem(0, "offline", "the server cannot be reached");
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Problem(response.status, "internal", "the server's answer cannot be read");
  }
  if (!response.ok) {
    const p = parsed as { code?: string; detail?: string; field?: string; retry_after_ms?: number };
    if (response.status === 401 && path !== "/login") onUnauthenticated();
    throw new Problem(response.status, p.code ?? "internal", p.detail ?? "", p.field, p.retry_after_ms);
  }
  return parsed as T;
}

export const get = <T>(path: string) => call<T>("GET", path);
export const post = <T>(path: string, body?: unknown) => call<T>("POST", path, body);
export const patch = <T>(path: string, body: unknown) => call<T>("PATCH", path, body);
export const put = <T>(path: string, body: unknown) => call<T>("PUT", path, body);
export const del = <T>(path: string) => call<T>("DELETE", path);

export type Page<T> = { items: T[]; next?: string };

/** Reads all pages of a list. */
export async function all<T>(path: string): Promise<T[]> {
  const items: T[] = [];
  const join = path.includes("?") ? "&" : "?";
  for (let next: string | undefined = ""; next !== undefined;) {
    const page: Page<T> = await get(
      path + join + "limit=200" + (next ? "&cursor=" + encodeURIComponent(next) : ""),
    );
    items.push(...page.items);
    next = page.next;
  }
  return items;
}
