import type { MarkdownIt, Token } from "markdown-it";
import { isVisible } from "./characters";

/** Makes links say where they lead: one without a text shows its address, one whose
 * text names another host, or whose address has a user's name in front of the host,
 * shows the host as well. */
export function honestLinks(md: MarkdownIt) {
  md.core.ruler.push("honest_links", ({ tokens }) => {
    for (const t of tokens) {
      if (t.children?.some((c) => c.type === "link_open")) t.children = addDestinations(md, t.children);
    }
  });
}

function addDestinations(md: MarkdownIt, tokens: Token[]): Token[] {
  const out: Token[] = [];
  let open: Token | undefined;
  let text = "";
  for (const t of tokens) {
    if (t.type === "link_open") {
      open = t;
      text = "";
    } else if (open && t.type === "link_close") {
      const href = String(open.attrGet("href") ?? "");
      if (text !== href) open.attrSet("title", href);
      const destination = isVisible(text) ? hiddenHost(text, href) : md.normalizeLinkText(href);
      if (destination) out.push(textToken(t, isVisible(text) ? ` (${destination})` : destination));
      open = undefined;
    } else {
      text += t.content.replace(/\p{Default_Ignorable_Code_Point}/gu, ""); // as it is seen
    }
    out.push(t);
  }
  return out;
}

function textToken(like: Token, content: string): Token {
  const token = new (like.constructor as new (type: string, tag: string, nesting: 0) => Token)("text", "", 0);
  token.content = content;
  token.level = like.level + 1;
  return token;
}

/** Returns the host that a link leads to if its text makes one believe in another,
 * or if a name in front of it could be taken for it. */
function hiddenHost(text: string, href: string): string {
  const target = parseUrl(href);
  if (!target) return "";
  const words = text.split(/\s+/);
  if (target.protocol === "mailto:") {
    const address = target.pathname;
    return words.some((w) => w.includes("@") && !w.includes(address)) ? address : "";
  }
  const host = withoutWww(target.host);
  const hasUser = target.username !== "" || target.password !== "";
  return hasUser || words.flatMap(hostsIn).some((h) => h !== host) ? host : "";
}

/** Returns what could be taken for a host in a word: what has a dot and comes before
 * the path. */
function hostsIn(word: string): string[] {
  const beforePath = word.replace(/^[a-z][a-z0-9+.-]*:\/*/i, "").split(/[/?#]/, 1)[0]!;
  return beforePath.split("@").flatMap((part) => {
    const name = /[\p{L}\p{N}.-]+\.\p{L}{2,}(?::\d+)?/u.exec(part)?.[0];
    return name ? [withoutWww(parseUrl("http://" + name)?.host ?? name)] : [];
  });
}

const withoutWww = (host: string) => host.replace(/^www\./, "");

function parseUrl(url: string): URL | null {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}
