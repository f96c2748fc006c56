import createMarkdownIt, { type MarkdownIt, type Token } from "markdown-it";
import cjkFriendly from "markdown-it-cjk-friendly";
import { isVisible } from "./characters";
import { honestLinks, wwwLinks } from "./links";
import { writtenNumbers } from "./lists";

/** How much work a message may be: three for each element of the page, and what the
 * parser tries in vain. Beyond, the message is shown as it was written, because
 * showing it would take longer than people wait: a table of 16 KiB can have 65,000
 * cells. */
export const maxWork = 2000;

/** How deep lists, quotes and emphasis may be nested. */
export const maxDepth = 24;

/** The work of a link, which is compared with its text and has many attributes. */
const linkWork = 6;
/** How many characters are read for an address for one of work. */
const charactersPerWork = 100;

class TooComplex extends Error {}

/** The work that the text which is being parsed has been so far. */
let work = 0;

function spend(amount: number) {
  work += amount;
  if (work > maxWork) throw new TooComplex();
}

type Nesting = Token["nesting"];

/** Spends the work of a token: an element is three of them, or one alone. */
function spendToken(type: string, tag: string, nesting: Nesting) {
  spend(type === "link_open" ? linkWork : tag && nesting === 0 ? 3 : 1);
}

function limitWork({ block, inline, linkify }: MarkdownIt) {
  block.State = class extends block.State {
    override push(type: string, tag: string, nesting: Nesting) {
      spendToken(type, tag, nesting);
      if (this.level > maxDepth) throw new TooComplex();
      return super.push(type, tag, nesting);
    }
  };
  inline.State = class extends inline.State {
    override push(type: string, tag: string, nesting: Nesting) {
      spendToken(type, tag, nesting);
      return super.push(type, tag, nesting);
    }
    override pushPending() {
      spend(1);
      return super.pushPending();
    }
  };
  const { skipToken } = inline;
  inline.skipToken = function (state) {
    spend(1);
    skipToken.call(this, state);
  };
  const { match, testSchemaAt } = linkify;
  linkify.match = function (text) {
    const links = match.call(this, text);
    spend(linkWork * (links?.length ?? 0));
    return links;
  };
  linkify.testSchemaAt = function (text, schema, pos) {
    const space = /\s/g;
    space.lastIndex = pos;
    const end = space.exec(text)?.index ?? text.length;
    spend(linkWork + (end - pos) / charactersPerWork);
    return testSchemaAt.call(this, text, schema, pos);
  };
}

// References are off, because a line that defines one disappears, and in a chat it
// is a line that somebody wrote. Images are off, because loading one would tell its
// host who reads the message. The plug-in mends CommonMark's rule for emphasis, which
// does not take Chinese, Japanese and Korean into account, that have no spaces.
export const md = createMarkdownIt({ html: false, linkify: true, breaks: true })
  .disable(["image", "reference"])
  .use(cjkFriendly)
  .use(limitWork)
  .use(wwwLinks, (address) => spend(linkWork + address.length / charactersPerWork))
  .use(honestLinks)
  .use(writtenNumbers);

// A link that the page would not follow is shown as it was written.
md.validateLink = (url) => /^(?:https?:\/\/|mailto:)./i.test(url);

/** Returns the tokens of a message's Markdown, or null when it is to be shown as it
 * was written: because that would be too much work, or because nothing of it would
 * be seen. */
export function parse(body: string): Token[] | null {
  if (hasPiledPunctuation(body)) return null;
  work = 0;
  try {
    const tokens = md.parse(body, {});
    for (const t of tokens) {
      for (const child of t.children ?? []) if (t.level + child.level > maxDepth) return null;
    }
    return tokens.some(isShown) ? tokens : null;
  } catch (e) {
    if (e instanceof TooComplex) return null;
    throw e;
  }
}

/** Reports whether a token shows something: a rule, or text that is not invisible. */
function isShown(t: Token): boolean {
  return t.type === "hr" || (t.children ? t.children.some(isShown) : isVisible(t.content));
}

/** Reports whether there is a long run of signs that has those of Chinese, Japanese or
 * Korean in it. Browsers trim the space between them, which takes them half a second
 * for a message of nothing else. */
function hasPiledPunctuation(text: string): boolean {
  return (
    text.match(/[\p{P}\p{S}\p{M}]{200,}/gu)?.some((run) => /[\u2010-\u303f\uff00-\uffef]/.test(run)) ?? false
  );
}
