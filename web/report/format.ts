// Numbers in the form that package figure of the binary gives them.

/** Formats with at least three significant digits, and without decimals from 100 on. */
export function formatNumber(v: number): string {
  if (!Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  const digits = Number.isInteger(v) || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  const text = v.toLocaleString("en-US", { maximumFractionDigits: digits });
  return text === "-0" ? "0" : text;
}

/** Formats a number with its unit. */
export function formatValue(v: number, unit: string): string {
  const size = Math.abs(v);
  if (unit === "ms" && size >= 10_000) return `${formatNumber(v / 1000)} s`;
  if (unit === "s" && size >= 60) return formatDuration(v);
  if (unit === "B" && size >= 1000) return `${formatNumber(v / 1000)} kB`;
  if (unit === "%") return `${Math.floor(v * 100 + 1e-9) / 100}%`; // rounded down: only all is 100%
  if (unit === "" || unit === "/s") return formatNumber(v) + unit;
  return `${formatNumber(v)} ${unit}`;
}

/** Formats a duration in seconds. */
function formatDuration(v: number): string {
  let left = Math.round(v);
  const parts: string[] = [];
  for (const [seconds, name] of [
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const) {
    const n = Math.floor(left / seconds);
    if (n > 0) parts.push(`${n} ${name}`);
    left -= n * seconds;
  }
  return parts.length > 0 ? parts.slice(0, 2).join(" ") : "0 s";
}

/** Formats seconds since the start of a run: 0:42, 12:05, 1:02:03. */
export function formatClock(v: number): string {
  const s = Math.round(v);
  const twoDigits = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60) % 60;
  if (s >= 3600) return `${Math.floor(s / 3600)}:${twoDigits(minutes)}:${twoDigits(s % 60)}`;
  return `${minutes}:${twoDigits(s % 60)}`;
}

/** Formats a number where space is limited: 20k, 1.5M. */
export function formatShort(v: number): string {
  const size = Math.abs(v);
  if (size >= 1e6) return `${formatNumber(v / 1e6)}M`;
  if (size >= 1e4) return `${formatNumber(v / 1e3)}k`;
  return formatNumber(v);
}

/** Formats a date with its time in UTC. */
export function formatDate(iso: string): string {
  const d = new Date(iso);
  const day = d.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  return `${day}, ${d.toISOString().slice(11, 16)} UTC`;
}
