// Where the user was in each conversation. It outlives switching to another one and
// reloads, in the tab that it is of.

/** Anchor is a message, and how many CSS pixels its top is below the top of the viewport;
 * less than 0 when it begins above that. Unlike a distance from the first row it means the
 * same in a window of another size. */
export type Anchor = { seq: number; offset: number };

/** Skipped are the unread messages that were jumped over when the user wrote without
 * having read to the end: from a seq on, and how many they were. They stay unread until
 * the first of them was in view. */
export type Skipped = { from: number; count: number };

/** Place is where the user was; without an anchor, at the end. */
export type Place = { anchor?: Anchor; skipped?: Skipped };

/** How many conversations have their place kept: those that were left last. */
export const maxPlaces = 100;

const key = "hikyaku-places";

/** What is stored: the places of one account, those that were left last at the end. */
type Stored = { account: string; places: [conversation: string, place: Place][] };

export function getPlace(account: string, conversation: string): Place | undefined {
  return load(account).places.find(([id]) => id === conversation)?.[1];
}

export function setPlace(account: string, conversation: string, place: Place) {
  const others = load(account).places.filter(([id]) => id !== conversation);
  const isDefault = !place.anchor && !place.skipped;
  const places = isDefault ? others : [...others, [conversation, place] as [string, Place]];
  try {
    sessionStorage.setItem(key, JSON.stringify({ account, places: places.slice(-maxPlaces) }));
  } catch {
    // A browser that stores nothing opens conversations where reading starts.
  }
}

/** ListPlace is where the list of conversations was: the first row in view, and how many
 * CSS pixels of it were above that. */
export type ListPlace = { conversation: string; offset: number };

const listKey = "hikyaku-list-place";

/** Returns where an account's list was, undefined for at its beginning. */
export function getListPlace(account: string): ListPlace | undefined {
  try {
    const stored = JSON.parse(sessionStorage.getItem(listKey) ?? "null") as
      (ListPlace & { account: string }) | null;
    return stored?.account === account ? stored : undefined;
  } catch {
    return undefined;
  }
}

export function setListPlace(account: string, place: ListPlace | undefined) {
  try {
    if (place) sessionStorage.setItem(listKey, JSON.stringify({ account, ...place }));
    else sessionStorage.removeItem(listKey);
  } catch {
    // A browser that stores nothing begins at the beginning.
  }
}

/** Forgets all places, as at a log-out. */
export function clearPlaces() {
  try {
    sessionStorage.removeItem(key);
    sessionStorage.removeItem(listKey);
  } catch {
    // Then nothing is stored either.
  }
}

function load(account: string): Stored {
  try {
    const stored = JSON.parse(sessionStorage.getItem(key) ?? "null") as Stored | null;
    if (stored?.account === account) return stored;
  } catch {
    // Nothing can be read, or somebody else has written there.
  }
  return { account, places: [] };
}
