// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { renderMarkdown } from "./markdown";

describe("markdown", () => {
  it("renders Markdown", () => {
    expect(renderMarkdown("**a** `b`")).toContain("<strong>a</strong> <code>b</code>");
    expect(renderMarkdown("one\ntwo")).toContain("<br>");
    expect(renderMarkdown("see https://example.org")).toContain('href="https://example.org"');
    expect(renderMarkdown("see https://example.org")).toContain('rel="noopener noreferrer nofollow"');
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
    const pieces = ["<", ">", "</", "script", "img src=x", " onerror=alert(1)", "[", "](", ")", "javascript:", "data:text/html,", "`", "```\n", "*", "_", "\n", "\n\n", "> ", "- ", "|", "&lt;", "&#x6a;", "\u0000", '"', "'", "!", "http://a.example/", "<svg/onload=", "<!--", "-->", "飛", "\\"]; // prettier-ignore
    let seed = 42;
    const next = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    for (let round = 0; round < 3000; round++) {
      let source = "";
      for (let i = 2 + next(12); i > 0; i--) source += pieces[next(pieces.length)];
      expectSafe(source);
    }
  });
});

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
