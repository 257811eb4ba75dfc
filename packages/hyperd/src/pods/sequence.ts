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
