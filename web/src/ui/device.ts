/** What a person calls a device: a program, and the system that it runs on. */
export type DeviceName = { program: string; system?: string };

// The first that fits: browsers name in their User-Agent those that they resemble.
const programs: [RegExp, string][] = [
  [/\bEdg(e|A|iOS)?\//, "Edge"],
  [/\b(OPR|Opera)\//, "Opera"],
  [/\bVivaldi\//, "Vivaldi"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(Firefox|FxiOS)\//, "Firefox"],
  [/\b(Chrome|CriOS|Chromium|HeadlessChrome)\//, "Chrome"],
  [/\bVersion\/.*\bSafari\//, "Safari"],
];
const systems: [RegExp, string][] = [
  [/\bAndroid\b/, "Android"],
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];

/** Reads what a device calls itself: the User-Agent of a browser, or a name that a
 * program has given. */
export function deviceName(device: string): DeviceName {
  const first = (list: [RegExp, string][]) => list.find(([pattern]) => pattern.test(device))?.[1];
  if (!device.startsWith("Mozilla/")) return { program: device };
  const program = first(programs);
  const system = first(systems);
  if (!program) return { program: system ?? device };
  return system ? { program, system } : { program };
}
