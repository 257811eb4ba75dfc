/**
 * Runs asynchronous work one after the other, in the order it was asked for. Made per pod: its operations never overlap.
 */
export class Sequence {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs `work` when everything asked for before is done, whatever came of it. Resolves or rejects as `work` does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work, work);
    this.#tail = result.catch(() => undefined); // told to the caller; the next in line does not care
    return result;
  }
}

/** Work that goes on side by side, but not while something is done `alone`, which waits for what is under way. Made per pod. */
export class SharedWork {
  readonly #running = new Set<Promise<unknown>>();
  #alone: Promise<unknown> | undefined;

  /** Runs `work` at once, or after what is being done alone. Resolves or rejects as `work` does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    while (this.#alone) await this.#alone;
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** One at a time: the caller sees to that. */
  async alone(work: () => Promise<void>): Promise<void> {
    const done = Promise.allSettled(this.#running).then(work);
    const settled = done.catch(() => undefined); // told to the caller
    this.#alone = settled;
    try {
      await done;
    } finally {
      this.#alone = undefined;
    }
  }
}
