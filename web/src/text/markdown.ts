import DOMPurify from "dompurify";
import { TextCache } from "./cache";
import { withoutPiledMarks } from "./characters";
import { md, parse } from "./parse";

const allowedTags = ["p", "br", "strong", "em", "s", "a", "code", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "div", "table", "thead", "tbody", "tr", "th", "td"]; // prettier-ignore
const allowedAttributes = ["href", "title", "start", "value", "dir", "class", "tabindex"];

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("tabindex", "-1");
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

// Each block is written in the direction of its first letters.
md.core.ruler.push("direction", ({ tokens }) => {
  for (const t of tokens) if (t.level === 0 && t.nesting === 1) t.attrSet("dir", "auto");
});
// The alignment of a column as a class, since a message has no styles of its own.
md.core.ruler.push("alignment", ({ tokens }) => {
  for (const t of tokens) {
    const alignment = /^text-align:(\w+)$/.exec(String(t.attrGet("style") ?? ""))?.[1];
    if (alignment) t.attrSet("class", alignment);
  }
});
// What is wider than the timeline scrolls by itself, with the keyboard as well: the tab key
// comes to it from its message (useMessageFocus), as it does to links.
md.renderer.rules.table_open = (tokens, i, options, _env, self) => {
  tokens[i]!.attrSet("tabindex", "-1");
  return '<div class="scroll" tabindex="-1">' + self.renderToken(tokens, i, options);
};
md.renderer.rules.table_close = () => "</table></div>\n";
md.renderer.rules.fence = md.renderer.rules.code_block = (tokens, i) =>
  `<pre class="scroll" tabindex="-1"><code tabindex="-1">${md.utils.escapeHtml(tokens[i]!.content)}</code></pre>\n`;

const cache = new TextCache(4_000_000);

/** Renders a message to HTML that is safe to show: without HTML of the sender,
 * without images, with links that open in a new tab and say where they lead. A text
 * that would take long to show as Markdown, or of which nothing would be seen, is
 * shown as it was written. */
export function renderMarkdown(body: string): string {
  return cache.get(body, () => {
    const source = withoutPiledMarks(body);
    const tokens = parse(source);
    if (!tokens) return `<p dir="auto" class="as-written">${md.utils.escapeHtml(source)}</p>`;
    return purify.sanitize(md.renderer.render(tokens, md.options, {}), {
      ALLOWED_TAGS: allowedTags,
      ALLOWED_ATTR: allowedAttributes,
      ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
      ADD_URI_SAFE_ATTR: allowedAttributes.filter((a) => a !== "href"),
    });
  });
}
