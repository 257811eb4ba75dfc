const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
export type ForwardedSignal = (typeof FORWARDED)[number];

const NUMBERS: Readonly<Record<ForwardedSignal, number>> = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1, SIGQUIT: 3 };
const GIVE_UP_WITHIN_MS = 1_000;

/** hyperctl was told to end before there was anything to pass the signal to, or twice. */
export class InterruptedError extends Error {
  /** As a shell reports it: 128 and the number of the signal. */
  readonly exitCode: number;

  constructor(signal: ForwardedSignal) {
    super(`interrupted by ${signal}`);
    this.name = 'InterruptedError';
    this.exitCode = 128 + NUMBERS[signal];
  }
}

/**
 * Passes signals of this process on while it waits for a container. Until `to` is called, the first one interrupts; afterwards a second
 * one within a second does. Dispose of it when done.
 */
export class SignalForwarder implements Disposable {
  readonly #interrupted = Promise.withResolvers<never>();
  readonly #abort = new AbortController();
  #target: ((signal: ForwardedSignal) => Promise<void>) | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  readonly #listener = (signal: NodeJS.Signals): void => this.#receive(signal as ForwardedSignal);

  constructor() {
    this.#interrupted.promise.catch(() => undefined); // it may never be waited for
    for (const signal of FORWARDED) process.on(signal, this.#listener);
  }

  /** Aborted when interrupted. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From now on signals go there. */
  to(target: (signal: ForwardedSignal) => Promise<void>): void {
    this.#target = target;
  }

  /** `work`, or a rejection with InterruptedError, whichever is first. */
  orInterrupted<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#interrupted.promise]);
  }

  [Symbol.dispose](): void {
    for (const signal of FORWARDED) process.off(signal, this.#listener);
  }

  #receive(signal: ForwardedSignal): void {
    const now = performance.now();
    const isSecond = now - this.#lastAt < GIVE_UP_WITHIN_MS;
    this.#lastAt = now;
    if (this.#target && !isSecond) {
      this.#target(signal).catch(() => undefined); // the container may just have ended
      return;
    }
    this.#interrupted.reject(new InterruptedError(signal));
    this.#abort.abort();
  }
}
