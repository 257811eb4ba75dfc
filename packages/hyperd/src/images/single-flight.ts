import { HyperError } from '../errors.ts';

/**
 * Shares one piece of work between all who ask for the same key at the same time. Each may stop waiting by its own signal; the work is aborted
 * only when nobody waits for it any more. The last one to leave waits for the work's own end: what it held open is closed then, and whoever
 * asks meanwhile begins anew behind it.
 */
export class SingleFlight<K, T> {
  readonly #flights = new Map<
    K,
    { readonly work: Promise<T>; readonly abort: AbortController; waiting: number }
  >();

  has(key: K): boolean {
    return this.#flights.has(key);
  }

  async run(key: K, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    let flight = this.#flights.get(key);
    while (flight?.abort.signal.aborted) {
      await Promise.allSettled([flight.work]);
      flight = this.#flights.get(key);
    }
    if (!flight) {
      const abort = new AbortController();
      const started = work(abort.signal).finally(() => this.#flights.delete(key));
      started.catch(() => undefined); // told to whoever still waits
      flight = { work: started, abort, waiting: 0 };
      this.#flights.set(key, flight);
    }
    const joined = flight;
    joined.waiting++;
    const canceled = Promise.withResolvers<never>();
    const leave = (): void => canceled.reject(new HyperError('canceled', 'canceled'));
    if (signal?.aborted) leave();
    signal?.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([joined.work, canceled.promise]);
    } finally {
      signal?.removeEventListener('abort', leave);
      if (--joined.waiting === 0) {
        joined.abort.abort();
        await Promise.allSettled([joined.work]);
      }
    }
  }
}
