import { randomBytes } from 'node:crypto';
import { closeSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { isOutOfRoom } from '../host-failure.ts';

/** As much as SQLite's write-ahead log takes before it begins anew: what comes then needs no more room. */
const BYTES = 4 << 20;
/** More than one write takes. */
const PORTION_BYTES = 128 << 10;
const RETRY_MS = 1_000;

/**
 * Room on the disk that is kept for removals: they write before they free anything, so that a disk that is quite full could never be emptied. It is given
 * out in portions: others wait for room, too, and take what is free. Made and disposed of by the state.
 */
export class Reserve implements Disposable {
  readonly #path: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#fill();
  }

  /** Runs `work`, again where the disk is full: with a portion more then, while there are some. They are kept again as soon as there is room. */
  spend<T>(work: () => T): T {
    for (;;) {
      try {
        return work();
      } catch (error) {
        const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
        if (size === 0 || !isOutOfRoom(error)) throw error;
        truncateSync(this.#path, Math.max(0, size - PORTION_BYTES));
        this.#fillLater();
      }
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #fill(): void {
    using made = new DisposableStack();
    try {
      const file = made.adopt(openSync(this.#path, 'a', 0o600), closeSync);
      for (let { size } = statSync(this.#path); size < BYTES; )
        size += writeSync(file, randomBytes(Math.min(PORTION_BYTES, BYTES - size))); // random: zeros may be stored in less
    } catch (error) {
      if (!isOutOfRoom(error)) throw error;
      this.#fillLater();
    }
  }

  /** Whatever is wrong with the disk by then: the daemon does without the reserve, and tries again. */
  #refill(): void {
    try {
      this.#fill();
    } catch {
      this.#fillLater();
    }
  }

  #fillLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refill(), RETRY_MS).unref();
  }
}
