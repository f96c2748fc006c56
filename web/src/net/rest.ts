// The REST API. Every refusal is a Problem, whose code selects the translation.

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

export type Page<T> = { items: T[]; next?: string };

export class RestClient {
  /** Calls onUnauthenticated when the session turns out to have ended. */
  constructor(private readonly onUnauthenticated: () => void = () => {}) {}

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
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
      if (response.status === 401 && path !== "/login") this.onUnauthenticated();
      throw new Problem(response.status, p.code ?? "internal", p.detail ?? "", p.field, p.retry_after_ms);
    }
    return parsed as T;
  }

  get<T>(path: string) {
    return this.call<T>("GET", path);
  }
  post<T>(path: string, body?: unknown) {
    return this.call<T>("POST", path, body);
  }
  patch<T>(path: string, body: unknown) {
    return this.call<T>("PATCH", path, body);
  }
  put<T>(path: string, body: unknown) {
    return this.call<T>("PUT", path, body);
  }
  delete<T>(path: string, body?: unknown) {
    return this.call<T>("DELETE", path, body);
  }

  /** Reads all pages of a list. */
  async getAll<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    const separator = path.includes("?") ? "&" : "?";
    for (let next: string | undefined = ""; next !== undefined;) {
      const page: Page<T> = await this.get(
        path + separator + "limit=200" + (next ? "&cursor=" + encodeURIComponent(next) : ""),
      );
      items.push(...page.items);
      next = page.next;
    }
    return items;
  }
}
