/** Keeps the page in what is visible of it while a keyboard is open, in browsers that lay
 * the keyboard over the page and scroll it instead of giving it less room, as Safari does.
 * (Where interactive-widget=resizes-content of index.html is known, nothing is covered.) */
export function followVisibleHeight(w: Window = window) {
  const visual = w.visualViewport;
  if (!visual) return;
  const fit = () => {
    // Who zooms in wants to see a part.
    const isCovered = visual.scale < 1.01 && w.innerHeight - visual.height > 1;
    const { style } = w.document.documentElement;
    if (isCovered) {
      style.setProperty("--visible-height", `${visual.height}px`);
      w.scrollTo(0, 0);
    } else style.removeProperty("--visible-height");
  };
  visual.addEventListener("resize", fit);
  visual.addEventListener("scroll", fit);
}
