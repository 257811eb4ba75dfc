/** Work on the same thing comes one after the other. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` once all earlier work on any of `keys` has ended, whatever came of it. */
  async run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const done = Promise.withResolvers<void>();
    const earlier = keys.map((key) => this.#last.get(key));
    for (const key of keys) this.#last.set(key, done.promise);
    try {
      await Promise.all(earlier);
      return await work();
    } finally {
      done.resolve();
      for (const key of keys) if (this.#last.get(key) === done.promise) this.#last.delete(key);
    }
  }
}
