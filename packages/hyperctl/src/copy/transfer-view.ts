import { Transform } from 'node:stream';
import { decimalSize } from '../format.ts';
import type { ProgressOutput } from '../progress-view.ts';

const FIRST_AFTER_MS = 1_000;
const INTERVAL_MS = 200;

/** Passes bytes on, and shows on a terminal how many, once it takes more than a second. `finish` when done. */
export class TransferView extends Transform {
  readonly #stderr: ProgressOutput;
  #bytes = 0;
  readonly #now: () => number;
  #nextAt: number;
  #isShown = false;

  constructor(stderr: ProgressOutput, now: () => number = () => performance.now()) {
    super();
    this.#stderr = stderr;
    this.#now = now;
    this.#nextAt = now() + FIRST_AFTER_MS;
  }

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, data: Buffer) => void): void {
    this.#bytes += chunk.length;
    const now = this.#now();
    if (this.#stderr.isTTY && now >= this.#nextAt) {
      this.#nextAt = now + INTERVAL_MS;
      this.#show();
    }
    done(null, chunk);
  }

  /** Leaves the last figure standing, where there was one. */
  finish(): void {
    if (!this.#isShown) return;
    this.#show();
    this.#stderr.write('\n');
    this.#isShown = false;
  }

  #show(): void {
    this.#isShown = true;
    this.#stderr.write(`\r\x1b[2KCopied ${decimalSize(this.#bytes)}`);
  }
}
