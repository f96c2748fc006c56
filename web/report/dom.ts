type Child = Node | string | false | undefined | null;

/** Makes an element. Strings become text nodes, never HTML: they come from the data of a run. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | boolean> = {},
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) continue;
    e.setAttribute(name, value === true ? "" : value);
  }
  for (const c of children.flat()) if (c) e.append(c);
  return e;
}

const svg = "http://www.w3.org/2000/svg";

/** Makes an icon from an SVG path in a square of 24 by 24. */
export function icon(d: string): SVGSVGElement {
  const e = document.createElementNS(svg, "svg");
  e.setAttribute("viewBox", "0 0 24 24");
  e.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg, "path");
  path.setAttribute("d", d);
  e.append(path);
  return e;
}
