// Short texts that must survive a reload: in the browser's storage, and in memory where
// it stores nothing.

const unstored = new Map<string, string>();

export function getNote(key: string): string | null {
  try {
    return localStorage.getItem(key) ?? unstored.get(key) ?? null;
  } catch {
    return unstored.get(key) ?? null;
  }
}

export function setNote(key: string, text: string) {
  unstored.delete(key);
  try {
    localStorage.setItem(key, text);
  } catch {
    unstored.set(key, text);
  }
}

export function deleteNote(key: string) {
  unstored.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Then it was not stored either.
  }
}

/** Returns the keys of all notes that begin with a prefix. */
export function noteKeys(prefix: string): string[] {
  const keys = [...unstored.keys()];
  try {
    keys.push(...Object.keys(localStorage));
  } catch {
    // Then none is stored.
  }
  return keys.filter((k) => k.startsWith(prefix));
}
