import { useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import { useTranslation } from "../i18n";
import { useApp } from "../state/app";
import { useClient } from "../state/context";

/** A connection that is back after this time, in milliseconds, needs no notice. */
const grace = 1200;

/** Says in one place what the person must know of the connection, and of what the
 * browser can keep: two notices could contradict each other. */
export function StatusBanner() {
  const { t } = useTranslation();
  const place = useRef<HTMLParagraphElement>(null);
  const isLost = useIsConnectionLost();
  const hasNetwork = useApp((s) => s.hasNetwork);
  const ready = useApp((s) => s.ready);
  const storageFailed = useApp((s) => s.storageFailed);
  const originRefused = useApp((s) => s.originRefused);
  const state = !hasNetwork
    ? t("youAreOffline")
    : originRefused
      ? t("originRefused", { origin: location.origin })
      : t(ready ? "connectionLost" : "connecting");
  const kept = storageFailed ? t("lostWhenClosed") : t("keptAndSent");
  const text = isLost
    ? t("twoSentences", { first: state, second: kept })
    : storageFailed
      ? t("storageFailed")
      : "";
  const style = isLost ? "bg-accent-soft" : "bg-panel text-dim";
  return (
    <div
      className={
        text
          ? `flex flex-wrap items-center justify-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5 text-center text-sm ${style}`
          : "sr-only"
      }
    >
      <p ref={place} role="status" tabIndex={-1} className="outline-none">
        {text}
      </p>
      {isLost && (
        <span className="flex items-center gap-2">
          <NextTry />
          <TryNow place={place} />
        </span>
      )}
    </div>
  );
}

/** Connects at once. The button goes away with its banner when that succeeds: the focus
 * goes back then to where it came from, or else stays at the banner's place. */
function TryNow({ place }: { place: RefObject<HTMLElement | null> }) {
  const { t } = useTranslation();
  const client = useClient();
  const button = useRef<HTMLButtonElement>(null);
  const cameFrom = useRef<HTMLElement | null>(null);
  useLayoutEffect(() => {
    const element = button.current!;
    const banner = place.current;
    return () => {
      if (document.activeElement !== element) return;
      if (cameFrom.current?.isConnected) cameFrom.current.focus({ preventScroll: true });
      if (document.activeElement === element) banner?.focus({ preventScroll: true });
    };
  }, [place]);
  return (
    <button
      ref={button}
      type="button"
      className="rounded-md px-2 py-0.5 font-medium text-accent underline underline-offset-2"
      onFocus={(e) => (cameFrom.current = e.relatedTarget as HTMLElement | null)}
      onClick={() => client.reconnectNow()}
    >
      {t("tryNow")}
    </button>
  );
}

/** Whether there is no connection, as far as the person should know. */
export function useIsConnectionLost(): boolean {
  const isBroken = useApp((s) => s.connection !== "open" || s.doubtful);
  const hasNetwork = useApp((s) => s.hasNetwork);
  const [isOverdue, setIsOverdue] = useState(false);
  useEffect(() => {
    if (!isBroken) return;
    const timer = setTimeout(() => setIsOverdue(true), grace);
    return () => {
      clearTimeout(timer);
      setIsOverdue(false);
    };
  }, [isBroken]);
  return isBroken && (isOverdue || !hasNetwork);
}

/** Counts down to the next attempt to connect. */
function NextTry() {
  const { t } = useTranslation();
  const connection = useApp((s) => s.connection);
  const retryAt = useApp((s) => s.retryAt);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [retryAt]);
  const seconds = Math.ceil((retryAt - now) / 1000);
  return (
    <span className="tabular-nums">
      {connection === "waiting" && seconds > 0 ? t("nextTry", { seconds }) : t("tryingNow")}
    </span>
  );
}
