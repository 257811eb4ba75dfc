const MAX_KEPT = 1000;

/**
 * Execs that clients of this service have signaled. The original tells 0 of an exec that such a signal has ended, and its clients count on it;
 * the daemon itself knows 128 and the signal. The oldest go first.
 */
export class SignaledExecs {
  readonly #signals = new Map<string, number>();

  add(exec: string, signal: number): void {
    this.#signals.delete(exec);
    this.#signals.set(exec, signal);
    if (this.#signals.size > MAX_KEPT) this.#signals.delete(this.#signals.keys().next().value ?? '');
  }

  /** What a client is told of an exec that has ended with `exitCode`. */
  exitCode(exec: string, exitCode: number): number {
    const signal = this.#signals.get(exec);
    return signal !== undefined && exitCode === 128 + signal ? 0 : exitCode;
  }
}
