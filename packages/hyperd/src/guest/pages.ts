export interface Pages<T> {
  /** The page of what comes after an id. */
  ask(after: number): Promise<{ readonly items: readonly T[]; readonly more: boolean }>;
  idOf(item: T): number;
  readonly maxId: number;
  /** The list ends with it, whatever the guest still has. */
  readonly maxCount: number;
  /** What is thrown for a list whose ids do not go up, or are too large: it would never end. */
  outOfOrder(): Error;
}

/** A list that the guest gives in pages, in the order of its ids. */
export async function readPages<T>({ ask, idOf, maxId, maxCount, outOfOrder }: Pages<T>): Promise<T[]> {
  const found: T[] = [];
  for (let after = 0, more = true; more && found.length < maxCount; ) {
    const page = await ask(after);
    for (const item of page.items) {
      const id = idOf(item);
      if (id <= after || id > maxId) throw outOfOrder();
      after = id;
      found.push(item);
    }
    more = page.more && page.items.length > 0;
  }
  return found;
}
