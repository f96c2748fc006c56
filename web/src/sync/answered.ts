/** Returns what the browser's database answers, and fails when it has not answered in time,
 * in milliseconds. A browser can leave a request unanswered, as while a page that it has
 * frozen is in the middle of a transaction. */
export async function answered<T>(request: Promise<T>, within: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the database does not answer")), within);
  });
  try {
    return await Promise.race([request, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
