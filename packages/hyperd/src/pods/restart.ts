import type { RestartPolicy } from './spec/pod-spec.ts';

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 60_000;
/** What ran as long as this counts as healthy: the next delay is the first one again. */
const HEALTHY_MS = 10_000;

/** What is known of a run that has ended. Times in ms since the epoch. */
export interface EndedRun {
  readonly failed: boolean;
  /** undefined when it did not even start. */
  readonly startedAt: number | undefined;
  readonly finishedAt: number;
  /** Restarts without a healthy run in between. */
  readonly restarts: number;
}

export interface PlannedRestart {
  readonly restartsAt: number;
  readonly restarts: number;
}

/** When the policy has something start again: after 100 ms, then twice as long each time, up to a minute. undefined: never. */
export function planRestart(policy: RestartPolicy, run: EndedRun): PlannedRestart | undefined {
  if (policy === 'never' || (policy === 'onFailure' && !run.failed)) return undefined;
  const wasHealthy = run.startedAt !== undefined && run.finishedAt - run.startedAt >= HEALTHY_MS;
  const restarts = wasHealthy ? 0 : run.restarts;
  const delayMs = Math.min(FIRST_DELAY_MS * 2 ** restarts, MAX_DELAY_MS);
  return { restartsAt: run.finishedAt + delayMs, restarts: restarts + 1 };
}

/** Timers by key; setting one again replaces it. Whoever has it clears it. */
export class Timers {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** Calls `work` at a time, in ms since the epoch; at once where it has passed, and soon where the clock has been set back since. */
  set(key: string, at: number, work: () => void): void {
    this.clear(key);
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        work();
      },
      Math.min(Math.max(0, at - Date.now()), MAX_DELAY_MS),
    );
    this.#timers.set(key, timer);
  }

  clear(key: string): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }

  clearAll(): void {
    for (const key of [...this.#timers.keys()]) this.clear(key);
  }
}
