import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { isHyperError } from '../../errors.ts';

const BUFFER_BYTES = 1 << 20;

/** Work on a stream of bytes that are pushed: what unpacks a layer while it is still being downloaded. */
export class LayerFeed implements AsyncDisposable {
  readonly #work: (source: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<void>;
  #pipe = new PassThrough();
  #done: Promise<void> = Promise.resolve();
  #abort = new AbortController();
  #error: unknown;
  /** The work has ended: it wants no more. */
  #isOver = false;

  constructor(work: (source: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<void>) {
    this.#work = work;
    this.#start();
  }

  /**
   * Resolves when more may come. Throws `limit` at once; other failures wait for `finish`, because bytes that make no sense may prove to
   * be other bytes than were asked for, and that is then the better error.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (isHyperError(this.#error, 'limit')) throw this.#error;
    if (this.#isOver || this.#pipe.write(chunk)) return;
    await once(this.#pipe, 'drain', { signal: this.#abort.signal }).catch(() => undefined);
  }

  /** Begins anew. */
  async restart(): Promise<void> {
    await this.#stop();
    this.#start();
  }

  /** All bytes have been written: resolves with the end of the work, and throws what it threw. */
  async finish(): Promise<void> {
    this.#pipe.end();
    await this.#done;
    if (this.#error !== undefined) throw this.#error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }

  #start(): void {
    const pipe = new PassThrough({ highWaterMark: BUFFER_BYTES });
    const abort = new AbortController();
    this.#pipe = pipe;
    this.#abort = abort;
    this.#error = undefined;
    this.#isOver = false;
    pipe.on('error', () => undefined); // seen by the work, which reads it
    const over = (error?: unknown): void => {
      this.#error = error;
      this.#isOver = true;
      pipe.destroy();
      abort.abort(); // whoever waits for room need not any more
    };
    this.#done = this.#work(pipe, abort.signal).then(() => over(), over);
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    this.#pipe.destroy();
    await this.#done;
  }
}
