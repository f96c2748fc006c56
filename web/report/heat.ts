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

/** Returns the color of a share from 0 to 1, on a scale of square roots so that small shares are visible. */
export function heatColor(share: number, theme: "light" | "dark"): string {
  const ramp = ramps[theme];
  const position = Math.sqrt(Math.min(Math.max(share, 0), 1)) * (ramp.length - 1);
  const index = Math.min(Math.floor(position), ramp.length - 2);
  const [a, b] = [ramp[index], ramp[index + 1]] as [Color, Color];
  const mixed = a.map((v, i) => Math.round(v + ((b[i] ?? v) - v) * (position - index)));
  return `rgb(${mixed.join(" ")})`;
}

export interface HeatCell {
  from: number;
  to: number;
  share: number;
}

/** Returns the cell of a heat map at a time and a latency, if it is not empty. */
export function heatCellAt(heat: Heat, time: number, latency: number): HeatCell | undefined {
  const { from, to, bounds, shares } = heat;
  if (!from || !to || !bounds || !shares) return undefined;
  const column = from.findIndex((f, i) => time >= f && time < (to[i] ?? f));
  const band = bounds.findIndex((b, i) => i > 0 && latency < b) - 1;
  const share = shares[column]?.[band];
  if (column < 0 || band < 0 || !share) return undefined;
  return { from: bounds[band] ?? 0, to: bounds[band + 1] ?? 0, share };
}
