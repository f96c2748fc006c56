import { chartFigure } from "./chart";
import { h, icon } from "./dom";
import { formatDate } from "./format";
import { comparisonTable, dataTable } from "./table";
import { onThemeChange, lineColor } from "./theme";
import type { Run, Section } from "./types";

const tick = "M4.5 12.5l5 5 10-11";
const cross = "M6 6l12 12M18 6L6 18";

function verdictElement(r: Run): HTMLElement {
  const { title, kept, checked, words } = r.verdict;
  const state = !checked ? "unknown" : kept ? "kept" : "broken";
  return h(
    "div",
    { class: `verdict ${state}` },
    icon(kept ? tick : cross),
    h(
      "div",
      {},
      h("strong", {}, title),
      h("p", {}, words),
      (r.offenders ?? []).length > 0 &&
        h(
          "ul",
          {},
          (r.offenders ?? []).map((o) => h("li", {}, o)),
        ),
    ),
  );
}

function tiles(r: Run): HTMLElement {
  return h(
    "dl",
    { class: "tiles" },
    (r.figures ?? []).map((f) =>
      h("div", {}, h("dt", {}, f.label), h("dd", {}, f.value, f.unit !== "" && h("small", {}, f.unit))),
    ),
  );
}

const limit = (r: Run) => r.limit !== "" && h("p", { class: "limit" }, `It ended because ${r.limit}.`);
const notes = (r: Run) => (r.notes ?? []).map((n) => h("p", { class: "note" }, n));

/** Makes the tables and facts of a run. */
function details(r: Run): HTMLElement[] {
  return [
    ...(r.listings ?? []).map((l) =>
      h(
        "section",
        { class: "listing" },
        h("h3", {}, l.title),
        l.lead !== "" && h("p", { class: "limit" }, l.lead),
        dataTable(
          l.head ?? [],
          (l.rows ?? []).map((c) => c ?? []),
          l.title,
        ),
      ),
    ),
    h(
      "div",
      { class: "facts" },
      (r.facts ?? []).map((f) =>
        h(
          "section",
          {},
          h("h3", {}, f.title),
          h(
            "dl",
            {},
            (f.facts ?? []).map((x) => h("div", {}, h("dt", {}, x.name), h("dd", {}, x.value))),
          ),
        ),
      ),
    ),
  ];
}

/** Makes a collapsible element for one of several runs, with the result in its summary. */
function collapsibleRun(r: Run): HTMLElement {
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const paint = () => dot.style.setProperty("--tone", lineColor(r.tone));
  onThemeChange(paint);
  paint();
  const state = !r.verdict.checked ? "" : r.verdict.kept ? "kept" : "broken";
  return h(
    "details",
    { class: "run", open: !r.verdict.kept },
    h(
      "summary",
      {},
      dot,
      h("span", { class: "who" }, r.name),
      h("span", { class: "what" }, r.headline),
      state !== "" && h("span", { class: `state ${state}` }, state === "kept" ? "✓ kept" : "✗ broken"),
    ),
    h("p", { class: "limit" }, formatDate(r.at)),
    verdictElement(r),
    tiles(r),
    limit(r),
    notes(r),
    details(r),
  );
}

export function sectionElement(s: Section): HTMLElement {
  const runs = s.runs ?? [];
  const [only] = runs;
  const single = runs.length === 1 && only ? only : undefined;
  const charts = (s.charts ?? []).map((c, i) => chartFigure(c, s.scenario, i === 0));
  return h(
    "section",
    { class: "scenario", id: `scenario-${s.scenario}`, "aria-label": s.title },
    h("header", {}, h("h2", {}, s.title), h("p", { class: "lead" }, s.lead)),
    single && [
      h("p", { class: "headline" }, single.headline),
      limit(single),
      tiles(single),
      verdictElement(single),
      ...notes(single),
    ],
    s.compared && comparisonTable(s.compared),
    h("div", { class: "charts" }, charts),
    single ? details(single) : h("div", { class: "runs" }, h("h3", {}, "Runs"), runs.map(collapsibleRun)),
  );
}
