import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/run.css";
import "./style/chart.css";
import "./style/table.css";
import "./style/narrow.css";
import "./style/print.css";
import { h, icon } from "./dom";
import { formatDate } from "./format";
import { sectionElement } from "./section";
import { followTheme, onThemeChange, theme } from "./theme";
import type { Page } from "./types";

const sun = "M12 7a5 5 0 100 10 5 5 0 000-10zM12 1v3M12 20v3M4.2 4.2l2.1 2.1M17.7 17.7l2.1 2.1M1 12h3M20 12h3M4.2 19.8l2.1-2.1M17.7 6.3l2.1-2.1"; // prettier-ignore
const moon = "M20 14.5A8.5 8.5 0 119.5 4a7 7 0 0010.5 10.5z";

function themeButton(toggle: () => void): HTMLElement {
  const b = h("button", { type: "button", class: "theme" });
  const paint = () => {
    const dark = theme() === "dark";
    b.replaceChildren(icon(dark ? sun : moon));
    b.setAttribute("aria-label", dark ? "Light colors" : "Dark colors");
    b.title = dark ? "Light colors" : "Dark colors";
  };
  b.addEventListener("click", toggle);
  onThemeChange(paint);
  paint();
  return b;
}

function pageElements(p: Page): HTMLElement[] {
  const sections = p.sections ?? [];
  const runs = sections.flatMap((s) => s.runs ?? []);
  const times = runs.map((r) => r.at).sort();
  const machines = new Set(runs.map((r) => r.machine));
  const systems = new Set(runs.map((r) => r.system));
  const line = [
    [...systems].join(", "),
    ...(machines.size === 1 ? machines : []),
    times[0] && formatDate(times[0]),
  ];
  return [
    h(
      "header",
      { class: "top" },
      h("span", { class: "mark" }, icon("M3.5 7a2 2 0 012-2h13a2 2 0 012 2v8a2 2 0 01-2 2h-7l-4 3.5V17h-2a2 2 0 01-2-2zM8 11h7m-2.5-2.5L15 11l-2.5 2.5"), "Hikyaku bench"), // prettier-ignore
      themeButton(followTheme().toggle),
    ),
    h(
      "main",
      {},
      h(
        "div",
        { class: "title" },
        h("h1", {}, p.title),
        h("p", {}, line.filter(Boolean).join(" · ")),
        sections.length > 1 &&
          h(
            "nav",
            { "aria-label": "Scenarios" },
            sections.map((s) => h("a", { href: `#scenario-${s.scenario}` }, s.title)),
          ),
      ),
      sections.map(sectionElement),
    ),
    h(
      "footer",
      {},
      "Latency counts from the moment that a message was due, so that nothing that waits is left out. ",
      "Drag in a plot to look closer, double-click to see all of it again.",
    ),
  ];
}

const data = document.getElementById("data")?.textContent ?? "";
document.getElementById("report")?.append(...pageElements(JSON.parse(data) as Page));
