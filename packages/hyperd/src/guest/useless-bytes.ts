import { HyperError } from '../errors.ts';

/** What a guest may send at once that says nothing, and how much of it is forgiven a second. */
const CAPACITY_BYTES = 8 * 1024 * 1024;
const FORGIVEN_BYTES_A_SECOND = 1024 * 1024;
/** A short frame costs us as much as a longer one. */
const LEAST_BYTES = 256;

/**
 * Keeps account of what a guest sends to no use: bytes that are no frames, answers that nobody waits for, output of processes that are gone or that was there
 * before. Some of it is in order (a process that is killed has output under way); a flood would cost the daemon, and with it all other pods, its time.
 */
export class UselessBytes {
  #left = CAPACITY_BYTES;
  #countedAt = performance.now();

  /** Throws `machine` when it has become too much. */
  count(bytes: number): void {
    const now = performance.now();
    const forgiven = ((now - this.#countedAt) / 1000) * FORGIVEN_BYTES_A_SECOND;
    this.#countedAt = now;
    this.#left = Math.min(CAPACITY_BYTES, this.#left + forgiven) - Math.max(bytes, LEAST_BYTES);
    if (this.#left < 0)
      throw new HyperError('machine', 'the guest broke the protocol: it floods the connection of its agent');
  }
}
