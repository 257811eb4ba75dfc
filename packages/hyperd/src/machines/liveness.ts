import { isHyperError } from '../errors.ts';

export interface LivenessTiming {
  /** From one beat to the next, in ms. */
  readonly intervalMs: number;
  /** How long the guest may be silent, in ms. */
  readonly silenceMs: number;
}

/** A guest's clock is at most a minute off after its host has slept; a loaded host may keep a guest from answering for a while. */
export const LIVENESS: LivenessTiming = { intervalMs: 60_000, silenceMs: 120_000 };

export interface LivenessOptions extends LivenessTiming {
  /** Has the guest answer to something; one that rejects with `timeout` is tried again. */
  beat(): Promise<void>;
  /** It has not for `silenceMs`. Called once. */
  onSilence(reason: string): void;
}

/**
 * Has a guest answer now and then, from its making to its disposal: an agent that hangs, or that a process in the guest has frozen, closes no connection.
 * Times are those of a clock that nobody sets.
 */
export class Liveness implements Disposable {
  readonly #options: LivenessOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Counts pauses: an answer that is late because of one says nothing. */
  #round = 0;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.resume();
  }

  /** The guest stands still by intent. Repeatable. */
  pause(): void {
    this.#round++;
    clearTimeout(this.#timer);
  }

  /** Repeatable. */
  resume(): void {
    this.pause();
    const { intervalMs } = this.#options;
    const round = this.#round;
    this.#timer = setTimeout(() => void this.#beat(round), intervalMs).unref();
  }

  [Symbol.dispose](): void {
    this.pause();
  }

  async #beat(round: number): Promise<void> {
    const { silenceMs, beat, onSilence } = this.#options;
    const silence = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => silence.resolve(true), silenceMs).unref();
    const isSilent = await Promise.race([silence.promise, this.#answered(round, beat)]);
    clearTimeout(timer);
    if (round !== this.#round) return;
    if (isSilent) {
      this.pause();
      onSilence(`the guest has not answered for ${Math.round(silenceMs / 1000)} s`);
    } else this.resume();
  }

  /** Resolves with false once there is an answer, also one that refuses: whoever has the connection is told where that ends. */
  async #answered(round: number, beat: () => Promise<void>): Promise<false> {
    while (round === this.#round) {
      try {
        await beat();
        return false;
      } catch (error) {
        if (!isHyperError(error, 'timeout')) return false;
      }
    }
    return false;
  }
}
