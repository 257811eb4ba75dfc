import { hostFailure } from '../host-failure.ts';

const RETRY_MS = 1_000;

/**
 * What has happened, whatever can be written: an end, an exit code. Where the disk has no room for it, it is written later. Made and disposed of by the
 * state.
 */
export class OwedWrites implements Disposable {
  readonly #owed = new Map<string, () => void>();
  #timer: NodeJS.Timeout | undefined;

  /** Writes it now, or owes it. `key`: of what it is about; a later write of the same takes its place. Throws only what is not the host's failure. */
  note(key: string, write: () => void): void {
    try {
      write();
      this.#owed.delete(key);
    } catch (error) {
      if (hostFailure(error) === undefined) throw error;
      this.#owed.set(key, write);
      this.#timer ??= setInterval(() => this.#settle(), RETRY_MS).unref();
    }
  }

  /** A write that holds all that may be owed of `key` has been done. */
  forget(key: string): void {
    this.#owed.delete(key);
  }

  /** Tries a last time; what cannot be written then, the next daemon finds out for itself. */
  [Symbol.dispose](): void {
    this.#settle();
    clearInterval(this.#timer);
  }

  #settle(): void {
    for (const [key, write] of this.#owed) {
      try {
        write();
        this.#owed.delete(key);
      } catch {
        return; // there is still no room
      }
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
