// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { renderMarkdown } from "./markdown";
import { md } from "./parse";
import { knownTexts, randomTexts } from "./slowtexts";

describe("markdown", () => {
  it("renders Markdown", () => {
    expect(renderMarkdown("**a** `b`")).toContain("<strong>a</strong> <code>b</code>");
    expect(renderMarkdown("one\ntwo")).toContain("<br>");
    expect(renderMarkdown("see https://example.org")).toContain('href="https://example.org"');
    expect(renderMarkdown("see https://example.org")).toContain('rel="noopener noreferrer nofollow"');
  });

  it.each([
    ["**重要（必読）**です", "<strong>重要（必読）</strong>です"],
    ["**「強調」**という意味", "<strong>「強調」</strong>という意味"],
    ["これは**「飛脚」**です。", "<strong>「飛脚」</strong>です。"],
    ["~~（古い）~~新しい", "<s>（古い）</s>新しい"],
    ["2019. a great year", '<ol start="2019"'],
    ["2019. one\n2021. another", '<li value="2021">another'],
    ["1. a\n1. b", "<li>b"],
    ["3. a\n2. b", '<li value="2">b'],
    ["|a|b|\n|-|-|\n|c|d|", '<div class="scroll" tabindex="-1"><table dir="auto" tabindex="-1">'],
    ["|a|b|\n|:-:|-:|\n|c|d|", '<td class="center">c</td>\n<td class="right">d</td>'],
    ["```\n<b>\n```", '<pre class="scroll" tabindex="-1"><code tabindex="-1">&lt;b&gt;'],
  ])("shows %j as it is meant", (source, html) => {
    expect(renderMarkdown(source)).toContain(html);
  });

  it.each([
    ["[mika]: ok", "[mika]: ok"],
    ["hello\n\n[mika]: ok", "hello\n[mika]: ok"],
    ["[](https://example.com/x)", "https://example.com/x"],
    ["[\u200b](https://example.com/x)", "\u200bhttps://example.com/x"],
    ["&nbsp;", "&nbsp;"],
    ["&#8203;", "&#8203;"],
    ["#", "#"],
    [">", ">"],
    ["-", "-"],
    ["```", "```"],
    ["` `", "` `"],
    ["| |\n|-|", "| |\n|-|"],
    ["\u200b", "\u200b"], // from before the server refused it
  ])("shows something of %j", (source, text) => {
    expect(textOf(renderMarkdown(source))).toBe(text);
  });

  it.each([
    ["https://example.org/a.html", "https://example.org/a.html"],
    ["[the docs](https://example.org)", "the docs"],
    ["[example.org](https://www.example.org/)", "example.org"],
    ["[https://bank.example](https://evil.example/x)", "https://bank.example (evil.example)"],
    ["[go to bank.example now](https://evil.example/x)", "go to bank.example now (evil.example)"],
    ["[bank.example](https://bank.example.evil.example)", "bank.example (bank.example.evil.example)"],
    ["<https://bank.example@evil.example/x>", "https://bank.example@evil.example/x (evil.example)"],
    ["[safe](https://bank.example:pw@evil.example/x)", "safe (evil.example)"],
    ["[help@bank.example](mailto:me@evil.example)", "help@bank.example (me@evil.example)"],
    ["john.doe@example.org", "john.doe@example.org"],
    ["[www.bank.example](https://evil.example/x)", "www.bank.example (evil.example)"],
    ["[paypal\u200B.com](https://evil.example)", "paypal\u200B.com (evil.example)"],
    ["[paypal.c\u200Bom](https://evil.example)", "paypal.c\u200Bom (evil.example)"],
  ])("says where %j leads", (source, text) => {
    expect(textOf(renderMarkdown(source))).toBe(text);
  });

  it.each([
    ["www.example.com", ["https://www.example.com"]],
    ["see www.example.com/a_(b)?c=d#e.", ["https://www.example.com/a_(b)?c=d#e"]],
    ["WWW.Example.COM:8080/x", ["https://WWW.Example.COM:8080/x"]],
    ["(www.example.co.jp), www.example.org!", ["https://www.example.co.jp", "https://www.example.org"]],
    ["詳細はwww.example.comをご覧ください", ["https://www.example.com"]],
    ["**www.example.com** and ~~www.example.org~~", ["https://www.example.com", "https://www.example.org"]],
    ["https://www.example.com", ["https://www.example.com"]],
    ["[www.example.com](https://www.example.com/x)", ["https://www.example.com/x"]],
    ["me@www.example.com", ["mailto:me@www.example.com"]],
    ["`www.example.com`", []],
    ["www.com", []],
    ["www.example", []],
    ["www.example.c", []],
    ["awww.example.com", []],
    ["/srv/www.example.com/html", []],
    ["x.www.example.com", []],
    ["www.bank.example@evil.example", ["mailto:www.bank.example@evil.example"]],
    ["www.bank.com_evil", []],
    ["example.com", []],
    ["example.com/path", []],
    ["README.md", []],
    ["[x]()", []],
    ["[x](/settings)", []],
    ["[x](https:evil.example)", []],
    ["//example.com", []],
    ["ftp://example.com", []],
    ["ASP.NET/MVC", []],
  ])("makes links of %j", (source, links) => {
    const box = document.createElement("div");
    box.innerHTML = renderMarkdown(source);
    expect([...box.querySelectorAll("a")].map((a) => a.getAttribute("href"))).toEqual(links);
    // What is read stays what was written.
    if (!/[`*~[]/.test(source)) expect(box.textContent.trim()).toBe(source);
  });

  it("tells the address of a link with another text", () => {
    expect(renderMarkdown("[the docs](https://example.org/a)")).toContain('title="https://example.org/a"');
  });

  it("writes each block in its own direction", () => {
    const html = renderMarkdown("שלום, עולם! (test) 123.\n\nhello\n\n> a\n\n- b\n\n# c");
    const box = document.createElement("div");
    box.innerHTML = html;
    expect([...box.children].map((e) => [e.tagName, e.getAttribute("dir")])).toEqual(
      ["P", "P", "BLOCKQUOTE", "UL", "H1"].map((name) => [name, "auto"]),
    );
  });

  it("shows no more marks on a letter than a language has", () => {
    expect(textOf(renderMarkdown("e" + "\u0301".repeat(300) + "x"))).toBe("e" + "\u0301".repeat(8) + "x");
  });

  it.each([
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "<a href='javascript:alert(1)'>x</a>",
    "![x](https://tracker.example/a.png)",
    "[x](https://a.example '\" onmouseover=alert(1)')",
    "<svg onload=alert(1)>",
    "<iframe src=//evil.example>",
    "`<img src=x onerror=alert(1)>`",
    '<https://a.example/"onmouseover="alert(1)>',
    "<style>*{display:none}</style>",
    "[x]: javascript:alert(1)\n\n[x]",
  ])("is safe: %s", expectSafe);

  it("is safe for random input", () => {
    // Fragments that mean something to some parser, combined at random from a
    // fixed seed.
    const pieces = ["<", ">", "</", "script", "img src=x", " onerror=alert(1)", "[", "](", ")", "javascript:", "data:text/html,", "`", "```\n", "*", "_", "\n", "\n\n", "> ", "- ", "|", "&lt;", "&#x6a;", "\u0000", '"', "'", "!", "http://a.example/", "www.a.example", "@", ".", "<svg/onload=", "<!--", "-->", "飛", "\\"]; // prettier-ignore
    let seed = 42;
    const next = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    for (let round = 0; round < 3000; round++) {
      let source = "";
      for (let i = 2 + next(12); i > 0; i--) source += pieces[next(pieces.length)];
      expectSafe(source);
    }
  });
});

describe("the work of a message", () => {
  it("is bounded, whatever its text is", () => {
    const calls = countRules();
    const next = randomTexts(1);
    const texts = [...knownTexts, ...Array.from({ length: 1500 }, next)];
    let plain = 0;
    for (const text of texts) {
      calls.count = 0;
      const box = document.createElement("div");
      box.innerHTML = renderMarkdown(text);
      const of = JSON.stringify(text.slice(0, 60));
      expect(box.querySelectorAll("*").length, of).toBeLessThan(1000);
      expect(depthOf(box), of).toBeLessThan(60);
      expect(calls.count, of).toBeLessThan(400_000);
      if (box.querySelector(".as-written")) plain++;
    }
    expect(plain).toBeGreaterThan(100);
    expect(plain).toBeLessThan(texts.length - 100);
  });

  it("leaves what people write to Markdown", () => {
    const row = "| 2026-11-30 | **done** | [docs](https://example.org/a) |\n";
    for (const text of [
      "| day | state | where |\n| --- | --- | --- |\n" + row.repeat(30),
      "- an item with `code`, and https://example.org/some/path\n".repeat(50),
      "A paragraph of **some** words, and *more* of them.\n\n".repeat(40),
      "```\n" + "a line of a log\n".repeat(900) + "```",
      "飛脚は「速い」と言われています。".repeat(300),
      "-".repeat(500),
    ])
      expect(renderMarkdown(text), text.slice(0, 40)).not.toContain("as-written");
  });

  it("shows the whole text when that is too much", () => {
    const text = "a|".repeat(60) + "\n" + "-|".repeat(60) + "\n" + "|\n".repeat(7000);
    expect(textOf(renderMarkdown(text))).toBe(text);
  });
});

/** Counts how often the parser tries a rule. */
function countRules() {
  const calls = { count: 0 };
  for (const ruler of [md.block.ruler, md.inline.ruler]) {
    const rules = ruler.getRules("") as ((...args: never[]) => unknown)[];
    rules.forEach((rule, i) => {
      rules[i] = (...args) => {
        calls.count++;
        return rule(...args);
      };
    });
  }
  return calls;
}

function depthOf(node: Element): number {
  let deepest = 0;
  for (const child of node.children) deepest = Math.max(deepest, 1 + depthOf(child));
  return deepest;
}

function textOf(html: string): string {
  const box = document.createElement("div");
  box.innerHTML = html;
  return box.querySelector(".as-written") ? box.textContent : box.textContent.trim();
}

function expectSafe(source: string) {
  const box = document.createElement("div");
  box.innerHTML = renderMarkdown(source);
  for (const e of box.querySelectorAll("*")) {
    expect(["SCRIPT", "IMG", "SVG", "IFRAME", "STYLE", "OBJECT"]).not.toContain(e.tagName.toUpperCase());
    for (const a of e.attributes) {
      expect(a.name.startsWith("on")).toBe(false);
      if (a.name === "href") expect(a.value).toMatch(/^(https?|mailto):/i);
    }
  }
}
