/**
 * Who still needs what, by key: what is held is not collected. A key may be held by many. While a collection runs, what is released
 * stays held until its end, because the collection has looked at what is needed before.
 */
export class Holds {
  readonly #counts = new Map<string, number>();
  readonly #removing = new Map<string, Promise<void>>();
  #collections = 0;
  #late: string[] = [];

  /** Resolves when the key is held, and nothing that removes it is under way. */
  async hold(key: string): Promise<void> {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    await this.#removing.get(key);
  }

  release(key: string): void {
    if (this.#collections > 0) {
      this.#late.push(key);
      return;
    }
    const left = (this.#counts.get(key) ?? 1) - 1;
    if (left === 0) this.#counts.delete(key);
    else this.#counts.set(key, left);
  }

  /** Runs a collection; inside of it `remove` is the way to remove something. */
  async collect<T>(work: () => Promise<T>): Promise<T> {
    this.#collections++;
    try {
      return await work();
    } finally {
      if (--this.#collections === 0) for (const key of this.#late.splice(0)) this.release(key);
    }
  }

  /** Removes by `work` what nobody holds; whoever wants to hold it meanwhile waits. */
  async remove(key: string, work: () => Promise<void>): Promise<void> {
    if (this.#counts.has(key) || this.#removing.has(key)) return;
    const removal = work();
    this.#removing.set(
      key,
      removal.catch(() => undefined), // told to the collector; who waits finds out what is there
    );
    try {
      await removal;
    } finally {
      this.#removing.delete(key);
    }
  }
}

/** What one user holds, released at once. */
export class HoldSet implements Disposable {
  readonly #holds: Holds;
  readonly #keys = new Set<string>();

  constructor(holds: Holds) {
    this.#holds = holds;
  }

  async hold(key: string): Promise<void> {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    await this.#holds.hold(key);
  }

  [Symbol.dispose](): void {
    for (const key of this.#keys) this.#holds.release(key);
    this.#keys.clear();
  }
}
