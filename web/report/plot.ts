import uPlot from "uplot";
import { align, type Columns } from "./align";
import { clock, short, write } from "./figure";
import { heatColor } from "./heat";
import { extent, increments, logTicks } from "./scale";
import { color, theme, tone } from "./theme";
import type { Axis, Chart, Line } from "./types";

const font = `12px ${"system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"}`;
const dashes: Record<string, number[]> = { "": [], dashed: [7, 4], dotted: [1.5, 3.5] };

/** The dash of a line, in canvas pixels of so many to one of the page. */
export const dashOf = (l: Line, ratio = 1) => (dashes[l.dash] ?? []).map((v) => v * ratio);

const scaled = (v: number) => v * devicePixelRatio;

function axis(a: Axis, which: "x" | "y"): uPlot.Axis {
  const time = a.unit === "s";
  const out: uPlot.Axis = {
    stroke: () => color("dim"),
    grid: { stroke: () => color("grid"), width: 1 },
    ticks: { stroke: () => color("grid"), width: 1, size: 4 },
    font,
    gap: 4,
    size: which === "x" ? 30 : (_u, values) => 14 + 7 * Math.max(3, ...(values ?? []).map((v) => v.length)),
    space: which === "x" ? 64 : 34,
    values: (_u, splits) => splits.map((v) => (time ? clock(v) : short(v))),
  };
  if (a.log) {
    out.splits = (u, _i, min, max) => {
      const room = which === "x" ? u.bbox.width / scaled(52) : u.bbox.height / scaled(24);
      return logTicks(min, max, Math.max(3, room));
    };
    out.filter = (_u, splits) => splits;
  } else {
    out.incrs = increments(a);
  }
  return out;
}

function series(l: Line, chart: Chart): uPlot.Series {
  const alone = (chart.lines ?? []).length === 1 && !l.marks;
  return {
    label: l.name,
    show: l.choice === "" || l.choice === chart.choices?.[0],
    stroke: () => tone(l.tone),
    width: 2,
    dash: dashOf(l),
    cap: l.dash === "dotted" ? "round" : "butt",
    ...(alone && { fill: () => `color-mix(in srgb, ${tone(l.tone)} 12%, transparent)` }),
    points: {
      show: l.marks,
      size: l.tone < 0 ? 12 : 8,
      width: 2,
      stroke: () => tone(l.tone),
      fill: () => (l.dash === "" && l.tone >= 0 ? tone(l.tone) : color("panel")),
    },
  };
}

/** Shades every other step of the run, and names those that have room for it. */
function drawSpans(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${scaled(11)}px system-ui, sans-serif`;
  (chart.spans ?? []).forEach((s, i) => {
    const [from, to] = [u.valToPos(s.from, "x", true), u.valToPos(s.to, "x", true)];
    if (i % 2 === 0) {
      ctx.fillStyle = color("band");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
    }
    if (ctx.measureText(s.label).width < to - from - scaled(6)) {
      ctx.fillStyle = color("dim");
      ctx.textAlign = "center";
      ctx.textBaseline = "top";
      ctx.fillText(s.label, (from + to) / 2, bbox.top + scaled(4));
    }
  });
  ctx.restore();
}

function drawLimits(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${scaled(12)}px system-ui, sans-serif`;
  ctx.lineWidth = scaled(1.25);
  ctx.setLineDash([scaled(4), scaled(4)]);
  for (const l of chart.limits ?? []) {
    const at = u.valToPos(l.value, l.of_x ? "x" : "y", true);
    const [low, high] = l.of_x ? [bbox.left, bbox.left + bbox.width] : [bbox.top, bbox.top + bbox.height];
    if (at < low || at > high) continue;
    ctx.strokeStyle = ctx.fillStyle = color(l.of_x || l.published ? "dim" : "limit");
    ctx.beginPath();
    if (l.of_x) {
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
    } else {
      ctx.moveTo(bbox.left, at);
      ctx.lineTo(bbox.left + bbox.width, at);
    }
    ctx.stroke();
    const width = ctx.measureText(l.label).width;
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    if (l.of_x) {
      const left = at + scaled(6) + width > bbox.left + bbox.width;
      ctx.fillText(
        l.label,
        left ? at - scaled(6) - width : at + scaled(6),
        bbox.top + bbox.height - scaled(6),
      );
    } else {
      const below = at - scaled(18) < bbox.top;
      ctx.fillText(l.label, bbox.left + scaled(6), below ? at + scaled(18) : at - scaled(4));
    }
  }
  ctx.restore();
}

/** Names points of what was not measured here; a legend alone would hide that. */
function drawPublished(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${scaled(12)}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  (chart.lines ?? []).forEach((l, i) => {
    const [x, y] = [l.x?.[0], l.y?.[0]];
    if (l.tone >= 0 || x === undefined || y === undefined || !u.series[i + 1]?.show) return;
    const [left, top] = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    const width = ctx.measureText(l.name).width + scaled(12);
    ctx.fillStyle = color("dim");
    ctx.fillText(
      l.name,
      left + width > bbox.left + bbox.width ? left - width : left + scaled(12),
      top + scaled(15),
    );
  });
  ctx.restore();
}

function drawHeat(u: uPlot, chart: Chart) {
  const { from, to, bounds, shares } = chart.heat ?? {};
  if (!from || !to || !bounds || !shares) return;
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const edges = bounds.map((b) => Math.round(u.valToPos(b, "y", true)));
  shares.forEach((column, i) => {
    const left = Math.floor(u.valToPos(from[i] ?? 0, "x", true));
    const right = Math.ceil(u.valToPos(to[i] ?? 0, "x", true));
    column?.forEach((share, band) => {
      if (share <= 0) return;
      const [bottom, top] = [edges[band] ?? 0, edges[band + 1] ?? 0];
      ctx.fillStyle = heatColor(share, theme());
      ctx.fillRect(left, top, right - left, bottom - top);
    });
  });
  ctx.restore();
}

/** The points of a chart; a map of heat has those of its corners, unseen. */
export function columns(chart: Chart): Columns {
  if (!chart.heat) return align(chart.lines ?? []);
  const { from, to } = chart.heat;
  return [
    [from?.[0] ?? 0, ...(to ?? [])],
    [null, ...(to ?? []).map(() => null)],
  ];
}

/** Draws a chart. tell hears where the pointer is: a row of the columns, or none. */
export function draw(
  chart: Chart,
  into: HTMLElement,
  size: { width: number; height: number },
  sync: string | undefined,
  tell: (u: uPlot) => void,
): uPlot {
  const [x, y] = [extent(chart, "x"), extent(chart, "y")];
  const pad = (min: number, max: number): [number, number] =>
    chart.x.log ? [min / 1.12, max * 1.12] : [min, max];
  const options: uPlot.Options = {
    ...size,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false },
      points: { size: 9, width: 2 },
      ...(sync !== undefined && { sync: { key: sync, setSeries: false } }),
    },
    scales: {
      x: {
        time: false,
        distr: chart.x.log ? 3 : 1,
        range: (_u, min, max) => {
          const all = !Number.isFinite(min) || (min <= x.min * 1.3 && max >= x.max / 1.3);
          return all ? pad(x.min, x.max) : pad(min, max);
        },
      },
      y: { distr: chart.y.log ? 3 : 1, range: () => [y.min, y.max] },
    },
    axes: [axis(chart.x, "x"), axis(chart.y, "y")],
    series: [
      {},
      ...(chart.heat
        ? [{ label: "heat", points: { show: false } }]
        : (chart.lines ?? []).map((l) => series(l, chart))),
    ],
    hooks: {
      drawClear: [(u) => drawSpans(u, chart)],
      drawAxes: [(u) => drawHeat(u, chart)],
      draw: [
        (u) => {
          drawLimits(u, chart);
          drawPublished(u, chart);
        },
      ],
      setCursor: [tell],
    },
  };
  return new uPlot(options, columns(chart) as uPlot.AlignedData, into);
}

/** A value of an axis in words, for what the pointer is at. */
export const say = (a: Axis, v: number) =>
  a.unit === "s" && a.label === "time" ? clock(v) : write(v, a.unit);
