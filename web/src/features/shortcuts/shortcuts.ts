// The keys that do something, and where. What listens asks here, and the dialog of
// shortcuts shows this list: there is no other.
import type { TextKey } from "../../i18n";
import { useSingleKeys } from "../../state/singlekeys";

/** Shortcut is one line of the dialog: what is done by which keys. A key has the name of
 * KeyboardEvent.key, with what is held before it: Shift, or Mod, which is Command on a Mac
 * and Control elsewhere. Without anything before it, nothing is held; a sign that is typed
 * with Shift, such as ?, is written as it is. */
type Shortcut<Action extends string> = { text: TextKey; keys: { [key: string]: Action } };

/** Lets TypeScript know the actions of each part by what is written there. */
const part = <A extends string>(title: TextKey, shortcuts: Shortcut<A>[]) => ({ title, shortcuts });

type Move = "previous" | "next" | "pageUp" | "pageDown" | "first" | "last";
const moves: Shortcut<Move>[] = [
  {
    text: "move",
    keys: { ArrowUp: "previous", ArrowDown: "next", PageUp: "pageUp", PageDown: "pageDown" },
  },
  { text: "firstAndLast", keys: { Home: "first", End: "last" } },
];

export const shortcuts = {
  page: part("shortcutsOfPage", [
    { text: "switchConversation", keys: { "Mod+K": "switch" } },
    { text: "shortcuts", keys: { "?": "showShortcuts" } },
  ]),
  list: part("conversations", moves),
  messages: part("messages", [
    ...moves,
    { text: "moveInside", keys: { Tab: "inside", "Shift+Tab": "backInside" } },
    { text: "reply", keys: { R: "reply" } },
    { text: "edit", keys: { E: "edit" } },
    { text: "copy", keys: { C: "copy" } },
    { text: "delete", keys: { Delete: "delete", Backspace: "delete" } },
    { text: "actions", keys: { Enter: "menu", ContextMenu: "menu", "Shift+F10": "menu" } },
    { text: "toComposer", keys: { Escape: "write" } },
  ]),
  composer: part("shortcutsOfComposer", [
    // On touch screens Enter alone makes a new line.
    { text: "send", keys: { Enter: "send", "Mod+Enter": "sendAnyway" } },
    { text: "newLine", keys: { "Shift+Enter": "newLine" } },
    { text: "editLast", keys: { ArrowUp: "editLast" } },
    { text: "cancel", keys: { Escape: "cancel" } },
  ]),
};

/** A part of the page that has shortcuts of its own. */
export type Part = keyof typeof shortcuts;
type ActionIn<S> = S extends { shortcuts: Shortcut<infer A>[] } ? A : never;
export type ActionOf<P extends Part> = ActionIn<(typeof shortcuts)[P]>;

export const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

/** What of a KeyboardEvent tells its shortcut. */
export type Keys = Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "altKey" | "ctrlKey" | "metaKey">;

/** Returns what an event does in a part of the page, undefined for nothing. */
export function actionOf<P extends Part>(where: P, e: Keys): ActionOf<P> | undefined {
  for (const { keys } of shortcuts[where].shortcuts)
    for (const [pattern, action] of Object.entries(keys))
      if (matches(pattern, e)) return action as ActionOf<P>;
  return undefined;
}

/** Returns whether a key is a single character, which can be switched off. */
export const isSingleKey = (pattern: string) => pattern.length === 1;

function matches(pattern: string, e: Keys): boolean {
  if (isSingleKey(pattern) && !useSingleKeys.getState().isOn) return false;
  const held = pattern.split("+");
  const key = held.pop()!;
  const mod = held.includes("Mod");
  if (e.altKey || e.ctrlKey !== (mod && !isMac) || e.metaKey !== (mod && isMac)) return false;
  const isSign = key.length === 1 && key.toUpperCase() === key.toLowerCase();
  if (!isSign && e.shiftKey !== held.includes("Shift")) return false;
  if (e.key.toUpperCase() === key.toUpperCase()) return true;
  // With Cyrillic letters or kana on the keyboard, a letter is the key that has it elsewhere.
  return e.key.length === 1 && e.key > "\x7f" && e.code === "Key" + key;
}

/** Returns the key of an action of the page for aria-keyshortcuts. */
export function keysOf(action: ActionOf<"page">): string {
  const lines = shortcuts.page.shortcuts.flatMap((s) => Object.entries(s.keys));
  return lines.find(([, a]) => a === action)![0].replace("Mod", isMac ? "Meta" : "Control");
}
