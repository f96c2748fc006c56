import { h } from "./dom";
import { formatNumber, formatValue } from "./format";
import type { Cell, Table } from "./types";

/** Makes a table whose first column has the row headers. A wide table scrolls. */
export function dataTable(head: string[], rows: (string | Node)[][], label: string): HTMLElement {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((t) => (t ? h("th", { scope: "col" }, t) : h("td"))),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([name, ...rest]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name ?? ""),
            rest.map((v) => h("td", {}, v)),
          ),
        ),
      ),
    ),
  );
}

/** Reports whether a ratio to the first group is better or worse, "" if neither or not significant. */
export function compareRatio(cell: Cell, better: string): "better" | "worse" | "" {
  if (cell.ratio <= 0 || cell.doubt !== "" || better === "" || cell.ratio === 1) return "";
  return cell.ratio > 1 === (better === "higher") ? "better" : "worse";
}

/** Makes the table that compares groups of runs. */
export function comparisonTable(t: Table): HTMLElement {
  const columns = t.columns ?? [];
  const rows = (t.rows ?? []).map((r) => [
    r.label,
    ...(r.cells ?? []).map((c) => {
      if (c.runs === 0) return h("span", { class: "none" }, "–");
      const spread = c.runs > 1 && c.max > c.min;
      const says = compareRatio(c, r.better);
      return h(
        "span",
        { class: "cell" },
        h("b", {}, formatValue(c.median, r.unit)),
        c.ratio > 0 &&
          h(
            "span",
            { class: `ratio ${says}` },
            `×${formatNumber(c.ratio)}${says && (says === "better" ? " ▲" : " ▼")}`,
          ),
        spread &&
          h(
            "small",
            {},
            `${formatNumber(c.min)} – ${formatValue(c.max, r.unit)} (±${formatNumber(c.spread * 50)}%)`,
          ),
        c.of_published > 0 && h("small", {}, `×${formatNumber(c.of_published)} of published`),
        c.doubt === "within" && h("small", {}, "≈ within the spread"),
      );
    }),
  ]);
  const head = columns.map(
    (c) => `${c.name}${c.published ? ", not measured here" : c.runs > 1 ? `, ${c.runs} runs` : ""}`,
  );
  return h(
    "div",
    { class: "compared" },
    dataTable(["", ...head], rows, "Comparison"),
    h(
      "p",
      { class: "legendline" },
      "The median of each group, what it is of the first one’s (▲ better, ▼ worse), and the least and most of its runs.",
    ),
    (t.notes ?? []).map((n) => h("p", { class: "note" }, n)),
  );
}
