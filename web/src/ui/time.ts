const dayLength = 24 * 3600 * 1000;

function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

export function sameDay(a: number, b: number): boolean {
  return startOfDay(a) === startOfDay(b);
}

export function formatTime(ms: number, language: string): string {
  return new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(ms);
}

/** Formats a time as the time of day if it is today, as "yesterday", or as the date. */
export function formatShortTime(ms: number, language: string, yesterday: string): string {
  const days = Math.round((startOfDay(Date.now()) - startOfDay(ms)) / dayLength);
  if (days <= 0) return formatTime(ms, language);
  if (days === 1) return yesterday;
  return new Intl.DateTimeFormat(language, { month: "short", day: "numeric" }).format(ms);
}

export function formatDay(ms: number, language: string, today: string, yesterday: string): string {
  const days = Math.round((startOfDay(Date.now()) - startOfDay(ms)) / dayLength);
  if (days <= 0) return today;
  if (days === 1) return yesterday;
  return new Intl.DateTimeFormat(language, { dateStyle: "full" }).format(ms);
}

export function formatDateTime(ms: number, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(ms);
}
