import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const md = new MarkdownIt({ html: false, linkify: true, breaks: true }).disable("image");

const allowedTags = ["p", "br", "strong", "em", "s", "a", "code", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "thead", "tbody", "tr", "th", "td"]; // prettier-ignore

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const cache = new Map<string, string>();

/** Renders a message to HTML that is safe to show: without HTML of the sender,
 * without images (loading one would tell the sender who reads the message), with
 * links that open in a new tab. */
export function renderMarkdown(body: string): string {
  const cached = cache.get(body);
  if (cached !== undefined) return cached;
  const html = purify.sanitize(md.render(body), {
    ALLOWED_TAGS: allowedTags,
    ALLOWED_ATTR: ["href", "start"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  });
  if (cache.size > 2000) cache.clear();
  cache.set(body, html);
  return html;
}
