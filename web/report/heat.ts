import type { Heat } from "./types";

type Color = [number, number, number];

const ramps: Record<"light" | "dark", Color[]> = {
  light: [
    [235, 242, 247],
    [164, 202, 226],
    [61, 138, 190],
    [13, 72, 122],
    [8, 36, 66],
  ],
  dark: [
    [33, 42, 50],
    [25, 84, 128],
    [58, 143, 201],
    [150, 208, 244],
    [240, 250, 255],
  ],
};

/** The color of a share, 0 to 1. Small shares count: the scale is that of their root. */
export function heatColor(share: number, theme: "light" | "dark"): string {
  const ramp = ramps[theme];
  const place = Math.sqrt(Math.min(Math.max(share, 0), 1)) * (ramp.length - 1);
  const below = Math.min(Math.floor(place), ramp.length - 2);
  const [a, b] = [ramp[below], ramp[below + 1]] as [Color, Color];
  const mixed = a.map((v, i) => Math.round(v + ((b[i] ?? v) - v) * (place - below)));
  return `rgb(${mixed.join(" ")})`;
}

export interface Spot {
  from: number;
  to: number;
  share: number;
}

/** What a map shows at a time and a latency, if anything. */
export function spot(heat: Heat, at: number, ms: number): Spot | undefined {
  const { from, to, bounds, shares } = heat;
  if (!from || !to || !bounds || !shares) return undefined;
  const column = from.findIndex((f, i) => at >= f && at < (to[i] ?? f));
  const band = bounds.findIndex((b, i) => i > 0 && ms < b) - 1;
  const share = shares[column]?.[band];
  if (column < 0 || band < 0 || !share) return undefined;
  return { from: bounds[band] ?? 0, to: bounds[band + 1] ?? 0, share };
}
