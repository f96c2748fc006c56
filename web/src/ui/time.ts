const dayLength = 24 * 3600 * 1000;

function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

export function sameDay(a: number, b: number): boolean {
  return startOfDay(a) === startOfDay(b);
}

/** Returns a function that formats times in a language. Making an Intl.DateTimeFormat takes
 * a hundred times as long as using it, so each is made once. */
function formatter(options: Intl.DateTimeFormatOptions): (ms: number, language: string) => string {
  const formats = new Map<string, Intl.DateTimeFormat>();
  return (ms, language) => {
    let format = formats.get(language);
    if (!format) formats.set(language, (format = new Intl.DateTimeFormat(language, options)));
    return format.format(ms);
  };
}

/** The time of day as the language writes it: 7:32 PM, 19:32. */
export const formatTime = formatter({ timeStyle: "short" });
export const formatDateTime = formatter({ dateStyle: "medium", timeStyle: "short" });
const formatDate = formatter({ month: "short", day: "numeric" });
const formatFullDate = formatter({ dateStyle: "full" });

/** Formats a time as the time of day if it is today, as "yesterday", or as the date. */
export function formatShortTime(ms: number, language: string, yesterday: string): string {
  const days = Math.round((startOfDay(Date.now()) - startOfDay(ms)) / dayLength);
  if (days <= 0) return formatTime(ms, language);
  return days === 1 ? yesterday : formatDate(ms, language);
}

export function formatDay(ms: number, language: string, today: string, yesterday: string): string {
  const days = Math.round((startOfDay(Date.now()) - startOfDay(ms)) / dayLength);
  if (days <= 0) return today;
  return days === 1 ? yesterday : formatFullDate(ms, language);
}
