import type uPlot from "uplot";
import { nearestValue } from "./align";
import { h } from "./dom";
import { formatValue } from "./format";
import { heatCellAt } from "./heat";
import { chartColumns, drawChart, formatAxisValue } from "./plot";
import { dataTable } from "./table";
import { onThemeChange, lineColor } from "./theme";
import type { Chart, Line } from "./types";

/** The width of plots in print, in pixels: that of a page within its margins. */
const printWidth = 660;

/** The plots, whose widths follow those of their containers, except in print. */
const plots = new Set<{ container: HTMLElement; height: () => number; u: uPlot }>();
const resizeObserver = new ResizeObserver((entries) => {
  for (const p of plots)
    if (entries.some((e) => e.target === p.container)) resize(p, Math.floor(p.container.clientWidth));
});

function resize(p: { height: () => number; u: uPlot }, width: number) {
  if (width > 0 && width !== p.u.width) p.u.setSize({ width, height: p.height() });
}

addEventListener("beforeprint", () => plots.forEach((p) => resize(p, printWidth)));
addEventListener("afterprint", () => plots.forEach((p) => resize(p, Math.floor(p.container.clientWidth))));

/** Makes the sample of a line for the legend. */
function swatch(l: Line): HTMLElement {
  const e = h("span", { class: `swatch ${l.dash}${l.marks ? " marked" : ""}`, "aria-hidden": "true" });
  const paint = () => e.style.setProperty("--tone", lineColor(l.tone));
  onThemeChange(paint);
  paint();
  return e;
}

/** Returns the entries of the legend with the indices of their lines; repeated runs share one. */
function legendEntries(chart: Chart): Map<string, number[]> {
  const all = new Map<string, number[]>();
  (chart.lines ?? []).forEach((l, i) => {
    const key = `${l.name} ${l.tone}`;
    all.set(key, [...(all.get(key) ?? []), i]);
  });
  return all;
}

/** Makes a chart with its title, its legend, and a table of its values. */
export function chartFigure(chart: Chart, section: string, hero: boolean): HTMLElement {
  const lines = chart.lines ?? [];
  const data = chartColumns(chart);
  const selection = { choice: chart.choices?.[0] ?? "", hidden: new Set<string>() };
  const container = h("div", {
    class: "plot",
    role: "img",
    "aria-label": `${chart.title}. ${chart.note} The table below has the values.`,
  });
  const cursorLabel = h("span", { class: "at" });
  const legend = h("div", { class: "legend" });
  const values = new Map<string, HTMLElement>();
  const visible = (l: Line) => l.choice === "" || l.choice === selection.choice;

  const height = () =>
    hero ? (container.clientWidth < 600 ? 300 : 380) : container.clientWidth < 480 ? 230 : 250;
  let u: uPlot | undefined;
  const update = () => {
    for (const [key, indices] of legendEntries(chart))
      for (const i of indices) {
        const l = lines[i];
        if (l) u?.setSeries(i + 1, { show: visible(l) && !selection.hidden.has(key) });
      }
  };
  for (const [key, indices] of legendEntries(chart)) {
    const first = lines[indices[0] ?? 0];
    if (!first || (lines.length === 1 && !first.marks)) continue;
    const value = h("span", { class: "value" });
    values.set(key, value);
    const button = h("button", { type: "button", "aria-pressed": "true" }, swatch(first), first.name, value);
    button.addEventListener("click", () => {
      const hide = !selection.hidden.delete(key);
      if (hide) selection.hidden.add(key);
      button.setAttribute("aria-pressed", String(!hide));
      update();
    });
    legend.append(button);
  }
  legend.append(cursorLabel);

  const onCursor = (plot: uPlot) => {
    const row = plot.cursor.idx;
    const x = row === null || row === undefined ? undefined : data[0][row];
    if (chart.heat) {
      const { left, top } = plot.cursor;
      const cell =
        left !== undefined && top !== undefined && left >= 0
          ? heatCellAt(chart.heat, plot.posToVal(left, "x"), plot.posToVal(top, "y"))
          : undefined;
      cursorLabel.textContent = cell
        ? `${formatAxisValue(chart.x, plot.posToVal(left ?? 0, "x"))}: ${formatValue(cell.share * 100, "%")} within ${formatValue(cell.from, "ms")} – ${formatValue(cell.to, "ms")}`
        : "";
      return;
    }
    cursorLabel.textContent = x === undefined ? "" : formatAxisValue(chart.x, x);
    for (const [key, indices] of legendEntries(chart)) {
      const i = indices.find((n) => lines[n] && visible(lines[n]));
      const column = i === undefined ? undefined : data[i + 1];
      const v = column && row !== null && row !== undefined ? nearestValue(column, row) : undefined;
      const e = values.get(key);
      if (e) e.textContent = v === undefined ? "" : formatValue(v, chart.y.unit);
      else if (v !== undefined) cursorLabel.textContent += `: ${formatValue(v, chart.y.unit)}`;
    }
  };

  const choices =
    (chart.choices ?? []).length > 1 &&
    h(
      "div",
      { class: "choices", role: "group", "aria-label": "Show" },
      (chart.choices ?? []).map((c, i) => {
        const b = h("button", { type: "button", "aria-pressed": String(i === 0) }, c);
        b.addEventListener("click", () => {
          selection.choice = c;
          for (const other of b.parentElement?.children ?? [])
            other.setAttribute("aria-pressed", String(other === b));
          update();
        });
        return b;
      }),
    );

  const ramp = chart.heat && h("span", { class: "ramp", "aria-hidden": "true" }, "few", h("i"), "all");
  const details = h("details", { class: "behind" }, h("summary", {}, "Values as a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(valuesTable(chart));
  });
  const unit = h(
    "p",
    { class: "unit" },
    chart.y.label + (["", "/s"].includes(chart.y.unit) ? "" : ` (${chart.y.unit})`),
  );
  const element = h(
    "figure",
    { class: hero ? "chart hero" : "chart", id: chart.name },
    h("figcaption", {}, h("h3", {}, chart.title), h("p", {}, chart.note)),
    h("div", { class: "controls" }, choices, values.size === 0 && unit, legend, ramp),
    values.size > 0 && unit,
    container,
    h("p", { class: "unit end" }, chart.x.label + (chart.x.unit === "s" ? " (minutes:seconds)" : "")),
    details,
  );
  queueMicrotask(() => {
    const sync = chart.x.unit === "s" ? section : undefined;
    u = drawChart(
      chart,
      container,
      { width: Math.max(container.clientWidth, 200), height: height() },
      sync,
      onCursor,
    );
    plots.add({ container, height, u });
    resizeObserver.observe(container);
    onThemeChange(() => u?.redraw(false));
  });
  return element;
}

/** Makes the table of the values of a chart. */
function valuesTable(chart: Chart): HTMLElement {
  const { heat } = chart;
  if (heat) {
    const bands = (heat.bounds ?? []).slice(1).map((b) => `≤ ${formatValue(b, "ms")}`);
    const rows = (heat.from ?? []).map((from, i) => [
      formatAxisValue(chart.x, from),
      ...(heat.shares?.[i] ?? []).map((s) => (s > 0 ? `${(s * 100).toFixed(1)}%` : "")),
    ]);
    return dataTable([chart.x.label, ...bands], rows, `${chart.title}, values`);
  }
  const lines = chart.lines ?? [];
  const [xs, ...ys] = chartColumns(chart);
  const header = lines.map((l) => (l.choice ? `${l.name}, ${l.choice}` : l.name));
  const indices = xs.map((_, i) => i).filter((i) => ys.some((column) => typeof column[i] === "number"));
  const rows = indices.map((i) => [
    formatAxisValue(chart.x, xs[i] ?? 0),
    ...ys.map((column) => {
      const v = column[i];
      return typeof v !== "number" ? "" : formatValue(v, chart.y.unit);
    }),
  ]);
  return dataTable([chart.x.label, ...header], rows, `${chart.title}, values`);
}
