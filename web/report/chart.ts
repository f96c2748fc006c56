import type uPlot from "uplot";
import { near } from "./align";
import { h } from "./dom";
import { write } from "./figure";
import { spot } from "./heat";
import { columns, draw, say } from "./plot";
import { grid } from "./table";
import { onTheme, tone } from "./theme";
import type { Chart, Line } from "./types";

const onPaper = 660; // pixels of width, within the margins of a page

/** Where the widths of plots follow those of their places, but on paper. */
const plots = new Set<{ place: HTMLElement; height: () => number; u: uPlot }>();
const sizes = new ResizeObserver((entries) => {
  for (const p of plots)
    if (entries.some((e) => e.target === p.place)) resize(p, Math.floor(p.place.clientWidth));
});

function resize(p: { height: () => number; u: uPlot }, width: number) {
  if (width > 0 && width !== p.u.width) p.u.setSize({ width, height: p.height() });
}

addEventListener("beforeprint", () => plots.forEach((p) => resize(p, onPaper)));
addEventListener("afterprint", () => plots.forEach((p) => resize(p, Math.floor(p.place.clientWidth))));

/** A sample of a line, as the legend shows it. */
function swatch(l: Line): HTMLElement {
  const e = h("span", { class: `swatch ${l.dash}${l.marks ? " marked" : ""}`, "aria-hidden": "true" });
  const paint = () => e.style.setProperty("--tone", tone(l.tone));
  onTheme(paint);
  paint();
  return e;
}

/** One entry for each line that is told apart; repeated runs share theirs. */
function entries(chart: Chart): Map<string, number[]> {
  const all = new Map<string, number[]>();
  (chart.lines ?? []).forEach((l, i) => {
    const key = `${l.name} ${l.tone}`;
    all.set(key, [...(all.get(key) ?? []), i]);
  });
  return all;
}

/** A chart with its title, its legend, and the table behind it. */
export function figure(chart: Chart, section: string, hero: boolean): HTMLElement {
  const lines = chart.lines ?? [];
  const data = columns(chart);
  const shown = { choice: chart.choices?.[0] ?? "", hidden: new Set<string>() };
  const place = h("div", {
    class: "plot",
    role: "img",
    "aria-label": `${chart.title}. ${chart.note} The table below has the values.`,
  });
  const at = h("span", { class: "at" });
  const legend = h("div", { class: "legend" });
  const values = new Map<string, HTMLElement>();
  const visible = (l: Line) => l.choice === "" || l.choice === shown.choice;

  const height = () => (hero ? (place.clientWidth < 600 ? 300 : 380) : place.clientWidth < 480 ? 230 : 250);
  let u: uPlot | undefined;
  const update = () => {
    for (const [key, indices] of entries(chart))
      for (const i of indices) {
        const l = lines[i];
        if (l) u?.setSeries(i + 1, { show: visible(l) && !shown.hidden.has(key) });
      }
  };
  for (const [key, indices] of entries(chart)) {
    const first = lines[indices[0] ?? 0];
    if (!first || (lines.length === 1 && !first.marks)) continue;
    const value = h("span", { class: "value" });
    values.set(key, value);
    const button = h("button", { type: "button", "aria-pressed": "true" }, swatch(first), first.name, value);
    button.addEventListener("click", () => {
      const hide = !shown.hidden.delete(key);
      if (hide) shown.hidden.add(key);
      button.setAttribute("aria-pressed", String(!hide));
      update();
    });
    legend.append(button);
  }
  legend.append(at);

  const tell = (plot: uPlot) => {
    const row = plot.cursor.idx;
    const x = row === null || row === undefined ? undefined : data[0][row];
    if (chart.heat) {
      const { left, top } = plot.cursor;
      const found =
        left !== undefined && top !== undefined && left >= 0
          ? spot(chart.heat, plot.posToVal(left, "x"), plot.posToVal(top, "y"))
          : undefined;
      at.textContent = found
        ? `${say(chart.x, plot.posToVal(left ?? 0, "x"))}: ${write(found.share * 100, "%")} within ${write(found.from, "ms")} – ${write(found.to, "ms")}`
        : "";
      return;
    }
    at.textContent = x === undefined ? "" : say(chart.x, x);
    for (const [key, indices] of entries(chart)) {
      const i = indices.find((n) => lines[n] && visible(lines[n]));
      const column = i === undefined ? undefined : data[i + 1];
      const v = column && row !== null && row !== undefined ? near(column, row) : undefined;
      const e = values.get(key);
      if (e) e.textContent = v === undefined ? "" : write(v, chart.y.unit);
      else if (v !== undefined) at.textContent += `: ${write(v, chart.y.unit)}`;
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
          shown.choice = c;
          for (const other of b.parentElement?.children ?? [])
            other.setAttribute("aria-pressed", String(other === b));
          update();
        });
        return b;
      }),
    );

  const ramp = chart.heat && h("span", { class: "ramp", "aria-hidden": "true" }, "few", h("i"), "all");
  const table = h("details", { class: "behind" }, h("summary", {}, "Values as a table"));
  table.addEventListener("toggle", () => {
    if (table.open && table.childElementCount === 1) table.append(behind(chart));
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
    place,
    h("p", { class: "unit end" }, chart.x.label + (chart.x.unit === "s" ? " (minutes:seconds)" : "")),
    table,
  );
  queueMicrotask(() => {
    const sync = chart.x.unit === "s" ? section : undefined;
    u = draw(chart, place, { width: Math.max(place.clientWidth, 200), height: height() }, sync, tell);
    plots.add({ place, height, u });
    sizes.observe(place);
    onTheme(() => u?.redraw(false));
  });
  return element;
}

/** The values of a chart. */
function behind(chart: Chart): HTMLElement {
  const { heat } = chart;
  if (heat) {
    const bands = (heat.bounds ?? []).slice(1).map((b) => `≤ ${write(b, "ms")}`);
    const rows = (heat.from ?? []).map((from, i) => [
      say(chart.x, from),
      ...(heat.shares?.[i] ?? []).map((s) => (s > 0 ? `${(s * 100).toFixed(1)}%` : "")),
    ]);
    return grid([chart.x.label, ...bands], rows, `${chart.title}, values`);
  }
  const lines = chart.lines ?? [];
  const [xs, ...ys] = columns(chart);
  const head = lines.map((l) => (l.choice ? `${l.name}, ${l.choice}` : l.name));
  const told = xs.map((_, i) => i).filter((i) => ys.some((column) => typeof column[i] === "number"));
  const rows = told.map((i) => [
    say(chart.x, xs[i] ?? 0),
    ...ys.map((column) => {
      const v = column[i];
      return typeof v !== "number" ? "" : write(v, chart.y.unit);
    }),
  ]);
  return grid([chart.x.label, ...head], rows, `${chart.title}, values`);
}
