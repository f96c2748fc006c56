import type { MarkdownIt, Token } from "markdown-it";

/** Makes numbered lists keep the numbers that were written, where Markdown would
 * count on from the first: "2019. …" and "2021. …" are no neighbours. A list with
 * the same number everywhere is left to be counted. */
export function writtenNumbers(md: MarkdownIt) {
  md.core.ruler.push("written_numbers", ({ tokens }) => {
    const lists: Token[][] = []; // the open ones, each with its items
    const starts: Token[] = [];
    for (const t of tokens) {
      if (t.type === "ordered_list_open" || t.type === "bullet_list_open") {
        lists.push([]);
        starts.push(t);
      } else if (t.type === "list_item_open") {
        lists.at(-1)!.push(t);
      } else if (t.type === "ordered_list_close" || t.type === "bullet_list_close") {
        setNumbers(starts.pop()!, lists.pop()!);
      }
    }
  });
}

function setNumbers(list: Token, items: Token[]) {
  if (list.type !== "ordered_list_open") return;
  const numbers = items.map((i) => Number(i.info));
  const isCounted = numbers.every((n) => n === numbers[0]);
  let next = numbers[0]!;
  numbers.forEach((n, i) => {
    if (!isCounted && n !== next) items[i]!.attrSet("value", String((next = n)));
    next++;
  });
  // Long numbers do not fit into the margin.
  if (numbers.some((n) => n > 999)) list.attrSet("class", "long-numbers");
}
