import { open } from 'node:fs/promises';

/** So many writes of one start as there are come within it. */
const DELAY_MS = 50;

/** Brings SQLite's write-ahead log to the disk a moment after it was asked to, in a thread of its own: nothing waits for it. */
export class LaterSync implements Disposable {
  readonly #path: string;
  #timer: NodeJS.Timeout | undefined;
  #isDisposed = false;

  constructor(path: string) {
    this.#path = path;
  }

  ask(): void {
    if (this.#isDisposed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sync().catch(() => undefined); // a disk that fails is told by the next write that waits for it
    }, DELAY_MS).unref();
  }

  /** Closing the database writes all of it. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
  }

  async #sync(): Promise<void> {
    await using log = await open(this.#path, 'r');
    await log.datasync();
  }
}
