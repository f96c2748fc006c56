import type { MarkdownIt, Token } from "markdown-it";
import { isVisible } from "./characters";

/** An address that begins with www. and has the name of a host after it. No name with
 * letters other than Latin ones: Japanese goes on behind an address without a space. */
const wwwHost = /www(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?){1,10}\.[a-z]{2,63}(?![a-z0-9_@-]|\.[a-z0-9])/;
/** What stands before a part of a longer name, path or address. */
const goesOn = /[\p{Script=Latin}\p{M}\p{N}_.\-/\\@:=?&#%+~$]/u;

/** Makes links of addresses that are written without https://, where nothing else can be
 * meant: those that begin with www. Other names of hosts look like those of files and
 * products, such as README.md and ASP.NET/MVC. The work of each is spent before. */
export function wwwLinks(md: MarkdownIt, spend: (text: string) => void) {
  const { re } = md.linkify;
  const address = new RegExp(wwwHost.source + re.get_port().source + re.get_path().source, "gi");
  md.core.ruler.push("www_links", ({ tokens }) => {
    for (const t of tokens) {
      if (!t.children?.some((c) => c.type === "text" && /www\./i.test(c.content))) continue;
      let links = 0;
      t.children = t.children.flatMap((c) => {
        if (c.type.startsWith("link_")) links += c.nesting;
        return c.type === "text" && links === 0 ? withLinks(md, c, address, spend) : [c];
      });
    }
  });
}

function withLinks(md: MarkdownIt, token: Token, address: RegExp, spend: (text: string) => void): Token[] {
  const { content } = token;
  const out: Token[] = [];
  let end = 0;
  for (const { 0: found, index } of content.matchAll(address)) {
    spend(found);
    if (index > 0 && goesOn.test(characterBefore(content, index))) continue;
    if (index > end) out.push(textToken(token, content.slice(end, index)));
    end = index + found.length;
    const open = newToken(token, "link_open", "a", 1);
    open.attrSet("href", md.normalizeLink("https://" + found));
    out.push(open, textToken(open, found), newToken(token, "link_close", "a", -1));
  }
  if (end === 0) return [token];
  if (end < content.length) out.push(textToken(token, content.slice(end)));
  return out;
}

function characterBefore(text: string, index: number): string {
  return /.$/su.exec(text.slice(Math.max(0, index - 2), index))![0];
}

/** Makes links say where they lead: one without a text shows its address, one whose
 * text names another host, or whose address has a user's name in front of the host,
 * shows the host as well. One without an address is none. */
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
      open = t.attrGet("href") ? t : undefined;
      text = "";
      if (!open) continue;
    } else if (t.type === "link_close" && !open) {
      continue;
    } else if (open && t.type === "link_close") {
      const href = String(open.attrGet("href") ?? "");
      if (text !== href) open.attrSet("title", href);
      const destination = isVisible(text) ? hiddenHost(text, href) : md.normalizeLinkText(href);
      if (destination) out.push(textToken(open, isVisible(text) ? ` (${destination})` : destination));
      open = undefined;
    } else {
      text += t.content.replace(/\p{Default_Ignorable_Code_Point}/gu, ""); // as it is seen
    }
    out.push(t);
  }
  return out;
}

function newToken(like: Token, type: string, tag: string, nesting: Token["nesting"]): Token {
  const token = new (like.constructor as new (...args: [string, string, Token["nesting"]]) => Token)(type, tag, nesting); // prettier-ignore
  token.level = like.level;
  return token;
}

/** Returns a token of text that stands in another, or beside one of text. */
function textToken(beside: Token, content: string): Token {
  const token = newToken(beside, "text", "", 0);
  token.content = content;
  token.level += beside.nesting;
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
