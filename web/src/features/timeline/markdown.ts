// Messages are Markdown. What comes out is safe to show: no HTML of the
// sender's, no pictures from elsewhere (they would tell the sender who reads),
// links that open apart from the page.
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const md = new MarkdownIt({ html: false, linkify: true, breaks: true }).disable("image");

const allowed = ["p", "br", "strong", "em", "s", "a", "code", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "thead", "tbody", "tr", "th", "td"]; // prettier-ignore

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const cache = new Map<string, string>();

export function render(body: string): string {
  const known = cache.get(body);
  if (known !== undefined) return known;
  const html = purify.sanitize(md.render(body), {
    ALLOWED_TAGS: allowed,
    ALLOWED_ATTR: ["href", "start"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  });
  if (cache.size > 2000) cache.clear();
  cache.set(body, html);
  return html;
}
