// Figures as people read them: the same as package figure of the binary.

/** At least three significant digits, and none behind the point from 100 on. */
export function number(v: number): string {
  if (!Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  const digits = Number.isInteger(v) || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  const text = v.toLocaleString("en-US", { maximumFractionDigits: digits });
  return text === "-0" ? "0" : text;
}

export function write(v: number, unit: string): string {
  const size = Math.abs(v);
  if (unit === "ms" && size >= 10_000) return `${number(v / 1000)} s`;
  if (unit === "s" && size >= 60) return time(v);
  if (unit === "B" && size >= 1000) return `${number(v / 1000)} kB`;
  if (unit === "%") return `${Math.floor(v * 100 + 1e-9) / 100}%`; // rounded down: 100% is all
  if (unit === "" || unit === "/s") return number(v) + unit;
  return `${number(v)} ${unit}`;
}

/** How long something takes, from its seconds. */
function time(v: number): string {
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

/** A moment of a run, as a clock shows it: 0:42, 12:05, 1:02:03. */
export function clock(v: number): string {
  const s = Math.round(v);
  const two = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60) % 60;
  if (s >= 3600) return `${Math.floor(s / 3600)}:${two(minutes)}:${two(s % 60)}`;
  return `${minutes}:${two(s % 60)}`;
}

/** A figure where there is little room: 20k, 1.5M. */
export function short(v: number): string {
  const size = Math.abs(v);
  if (size >= 1e6) return `${number(v / 1e6)}M`;
  if (size >= 1e4) return `${number(v / 1e3)}k`;
  return number(v);
}

/** A moment in time, as the report says it everywhere. */
export function date(iso: string): string {
  const d = new Date(iso);
  const day = d.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  return `${day}, ${d.toISOString().slice(11, 16)} UTC`;
}
