import { h } from "./dom";
import { number, write } from "./figure";
import type { Cell, Table } from "./types";

/** A table whose first column names its rows. Wide ones scroll by themselves. */
export function grid(head: string[], rows: (string | Node)[][], label: string): HTMLElement {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
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

/** What a ratio to the first group says: better, worse, or nothing. */
export function judge(cell: Cell, better: string): "better" | "worse" | "" {
  if (cell.ratio <= 0 || cell.doubt !== "" || better === "" || cell.ratio === 1) return "";
  return cell.ratio > 1 === (better === "higher") ? "better" : "worse";
}

/** The same figures of several groups, side by side. */
export function comparison(t: Table): HTMLElement {
  const columns = t.columns ?? [];
  const rows = (t.rows ?? []).map((r) => [
    r.label,
    ...(r.cells ?? []).map((c) => {
      if (c.runs === 0) return h("span", { class: "none" }, "–");
      const spread = c.runs > 1 && c.max > c.min;
      const says = judge(c, r.better);
      return h(
        "span",
        { class: "cell" },
        h("b", {}, write(c.median, r.unit)),
        c.ratio > 0 &&
          h(
            "span",
            { class: `ratio ${says}` },
            `×${number(c.ratio)}${says && (says === "better" ? " ▲" : " ▼")}`,
          ),
        spread && h("small", {}, `${number(c.min)} – ${write(c.max, r.unit)} (±${number(c.spread * 50)}%)`),
        c.of_published > 0 && h("small", {}, `×${number(c.of_published)} of published`),
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
    grid(["", ...head], rows, "Comparison"),
    h(
      "p",
      { class: "legendline" },
      "The median of each group, what it is of the first one’s (▲ better, ▼ worse), and the least and most of its runs.",
    ),
    (t.notes ?? []).map((n) => h("p", { class: "note" }, n)),
  );
}
