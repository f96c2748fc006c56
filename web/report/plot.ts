import uPlot from "uplot";
import { align, type Columns } from "./align";
import { formatClock, formatShort, formatValue } from "./format";
import { heatColor } from "./heat";
import { extent, increments, logTicks } from "./scale";
import { cssColor, theme, lineColor } from "./theme";
import type { Axis, Chart, Line } from "./types";

const font = `12px ${"system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"}`;
const dashes: Record<string, number[]> = { "": [], dashed: [7, 4], dotted: [1.5, 3.5] };

/** Returns the dash pattern of a line; ratio is that of canvas pixels to CSS pixels. */
export const lineDash = (l: Line, ratio = 1) => (dashes[l.dash] ?? []).map((v) => v * ratio);

const toCanvas = (v: number) => v * devicePixelRatio;

function axis(a: Axis, which: "x" | "y"): uPlot.Axis {
  const time = a.unit === "s";
  const out: uPlot.Axis = {
    stroke: () => cssColor("dim"),
    grid: { stroke: () => cssColor("grid"), width: 1 },
    ticks: { stroke: () => cssColor("grid"), width: 1, size: 4 },
    font,
    gap: 4,
    size: which === "x" ? 30 : (_u, values) => 14 + 7 * Math.max(3, ...(values ?? []).map((v) => v.length)),
    space: which === "x" ? 64 : 34,
    values: (_u, splits) => splits.map((v) => (time ? formatClock(v) : formatShort(v))),
  };
  if (a.log) {
    out.splits = (u, _i, min, max) => {
      const room = which === "x" ? u.bbox.width / toCanvas(52) : u.bbox.height / toCanvas(24);
      return logTicks(min, max, Math.max(3, room));
    };
    out.filter = (_u, splits) => splits;
  } else {
    out.incrs = increments(a);
  }
  return out;
}

function series(l: Line, chart: Chart): uPlot.Series {
  const isSingle = (chart.lines ?? []).length === 1 && !l.marks;
  return {
    label: l.name,
    show: l.choice === "" || l.choice === chart.choices?.[0],
    stroke: () => lineColor(l.tone),
    width: 2,
    dash: lineDash(l),
    cap: l.dash === "dotted" ? "round" : "butt",
    ...(isSingle && { fill: () => `color-mix(in srgb, ${lineColor(l.tone)} 12%, transparent)` }),
    points: {
      show: l.marks,
      size: l.tone < 0 ? 12 : 8,
      width: 2,
      stroke: () => lineColor(l.tone),
      fill: () => (l.dash === "" && l.tone >= 0 ? lineColor(l.tone) : cssColor("panel")),
    },
  };
}

/** Shades every other step of the run, and labels those that are wide enough. */
function drawSpans(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${toCanvas(11)}px system-ui, sans-serif`;
  (chart.spans ?? []).forEach((s, i) => {
    const [from, to] = [u.valToPos(s.from, "x", true), u.valToPos(s.to, "x", true)];
    if (i % 2 === 0) {
      ctx.fillStyle = cssColor("band");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
    }
    if (ctx.measureText(s.label).width < to - from - toCanvas(6)) {
      ctx.fillStyle = cssColor("dim");
      ctx.textAlign = "center";
      ctx.textBaseline = "top";
      ctx.fillText(s.label, (from + to) / 2, bbox.top + toCanvas(4));
    }
  });
  ctx.restore();
}

function drawLimits(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${toCanvas(12)}px system-ui, sans-serif`;
  ctx.lineWidth = toCanvas(1.25);
  ctx.setLineDash([toCanvas(4), toCanvas(4)]);
  for (const l of chart.limits ?? []) {
    const at = u.valToPos(l.value, l.of_x ? "x" : "y", true);
    const [low, high] = l.of_x ? [bbox.left, bbox.left + bbox.width] : [bbox.top, bbox.top + bbox.height];
    if (at < low || at > high) continue;
    ctx.strokeStyle = ctx.fillStyle = cssColor(l.of_x || l.published ? "dim" : "limit");
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
      const left = at + toCanvas(6) + width > bbox.left + bbox.width;
      ctx.fillText(
        l.label,
        left ? at - toCanvas(6) - width : at + toCanvas(6),
        bbox.top + bbox.height - toCanvas(6),
      );
    } else {
      const below = at - toCanvas(18) < bbox.top;
      ctx.fillText(l.label, bbox.left + toCanvas(6), below ? at + toCanvas(18) : at - toCanvas(4));
    }
  }
  ctx.restore();
}

/** Labels the points of published values: they were not measured in these runs. */
function drawPublished(u: uPlot, chart: Chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${toCanvas(12)}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  (chart.lines ?? []).forEach((l, i) => {
    const [x, y] = [l.x?.[0], l.y?.[0]];
    if (l.tone >= 0 || x === undefined || y === undefined || !u.series[i + 1]?.show) return;
    const [left, top] = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    const width = ctx.measureText(l.name).width + toCanvas(12);
    ctx.fillStyle = cssColor("dim");
    ctx.fillText(
      l.name,
      left + width > bbox.left + bbox.width ? left - width : left + toCanvas(12),
      top + toCanvas(15),
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

/** Returns the columns of a chart. Those of a heat map only set the range. */
export function chartColumns(chart: Chart): Columns {
  if (!chart.heat) return align(chart.lines ?? []);
  const { from, to } = chart.heat;
  return [
    [from?.[0] ?? 0, ...(to ?? [])],
    [null, ...(to ?? []).map(() => null)],
  ];
}

/** Draws a chart. onCursor is called when the cursor moves to another row, or leaves. */
export function drawChart(
  chart: Chart,
  container: HTMLElement,
  size: { width: number; height: number },
  syncKey: string | undefined,
  onCursor: (u: uPlot) => void,
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
      ...(syncKey !== undefined && { sync: { key: syncKey, setSeries: false } }),
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
      setCursor: [onCursor],
    },
  };
  return new uPlot(options, chartColumns(chart) as uPlot.AlignedData, container);
}

/** Formats a value of an axis. */
export const formatAxisValue = (a: Axis, v: number) =>
  a.unit === "s" && a.label === "time" ? formatClock(v) : formatValue(v, a.unit);
