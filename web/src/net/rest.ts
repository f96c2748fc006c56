// The REST API. Every refusal is a Problem, whose code and field select what the reader
// is told.

import { basePath } from "./base";

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

/** Why an account cannot make requests any more: its session has ended, or the
 * browser, whose pages share a cookie, is logged in as somebody else. */
export type SessionLoss = "unauthenticated" | "other_account";

export class RestClient {
  /** Calls onSessionLost when the session turns out to be no longer there. */
  constructor(
    private readonly onSessionLost: (why: SessionLoss) => void = () => {},
    private readonly account?: string,
    private readonly signal?: AbortSignal,
  ) {}

  /** Returns a client for an account: the server refuses its requests when another
   * one is logged in. When a signal is aborted, requests that are under way fail,
   * and what the server answers them is heeded by nobody. */
  for(account: string, signal?: AbortSignal) {
    return new RestClient(this.onSessionLost, account, signal);
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(basePath + "api/v1" + path, {
        method,
        headers: {
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(this.account ? { "Hikyaku-Account": this.account } : {}),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin",
        signal: this.signal,
      });
      text = await response.text();
    } catch {
      this.throwIfEnded();
      throw new Problem(0, "offline", "the server cannot be reached");
    }
    this.throwIfEnded();
    if (response.status === 204) return undefined as T;
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      throw new Problem(response.status, "internal", "the server's answer cannot be read");
    }
    if (!response.ok) {
      const p = parsed as { code?: string; detail?: string; field?: string; retry_after_ms?: number };
      if (response.status === 401 && path !== "/login") this.onSessionLost("unauthenticated");
      if (p.code === "other_account") this.onSessionLost("other_account");
      throw new Problem(response.status, p.code ?? "internal", p.detail ?? "", p.field, p.retry_after_ms);
    }
    return parsed as T;
  }

  private throwIfEnded() {
    if (this.signal?.aborted) throw new Problem(0, "unavailable", "the session has ended");
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

  /** Reads a page of a list: of what a text is found in, from a cursor on, "" for both for
   * the first of all. */
  page<T>(path: string, text: string, cursor: string): Promise<Page<T>> {
    const query = new URLSearchParams({ limit: "100", ...(text && { q: text }), ...(cursor && { cursor }) });
    return this.get(`${path}?${query.toString()}`);
  }
}
