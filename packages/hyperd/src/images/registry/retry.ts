import { setTimeout as sleep } from 'node:timers/promises';
import { HyperError, messageOf } from '../../errors.ts';
import { Failure, LocalFailure } from './failure.ts';
import type { RetryListener } from './registry.ts';
import type { Timing } from './timing.ts';

/** Tries without progress. */
const MAX_TRIES = 5;
const MAX_BACKOFF_MS = 10_000;
/** Fewer bytes are no progress: a registry that gives a byte for each connection would be asked for ever. */
const MIN_PROGRESS_BYTES = 64 * 1024;

export interface Persistence {
  /** The action, as messages begin with it: `pull blob sha256:… of host/name`. */
  readonly what: string;
  readonly timing: Timing;
  readonly signal: AbortSignal | undefined;
  readonly onRetry: RetryListener | undefined;
  /** Bytes that the transfer has brought so far; with enough new ones, counting begins anew. */
  readonly transferred?: () => number;
}

/** Tries `work` until it succeeds or fails for good. Rejects with HyperError, or with what our own side threw. */
export async function retried<T>(persistence: Persistence, work: () => Promise<T>): Promise<T> {
  const { what, timing, signal, onRetry, transferred } = persistence;
  let reached = transferred?.() ?? 0;
  for (let tries = 1; ; tries++) {
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      if (signal?.aborted) throw new HyperError('canceled', `${what}: canceled`, { cause: error });
      if (error instanceof LocalFailure) throw error.cause;
      if (!(error instanceof Failure)) throw asHyperError(error, what);
      const now = transferred?.() ?? 0;
      if (now >= reached + MIN_PROGRESS_BYTES) {
        reached = now;
        tries = 1;
      }
      if (error.retry === 'never' || tries >= MAX_TRIES) throw asHyperError(error, what);
      const delayMs = delayBefore(error, tries, timing);
      onRetry?.(delayMs, error.message);
      await pause(delayMs, what, signal);
    }
  }
}

/** The HyperError that callers of the registry see. */
export function asHyperError(error: unknown, what: string): HyperError {
  if (error instanceof HyperError) return error;
  const code = error instanceof Failure ? error.code : 'internal';
  return new HyperError(code, `${what}: ${messageOf(error)}`, { cause: error });
}

function delayBefore({ retry }: Failure, tries: number, { firstDelayMs, maxDelayMs }: Timing): number {
  if (typeof retry === 'object') return Math.min(retry.afterMs, maxDelayMs);
  const backoffMs = Math.min(firstDelayMs * 2 ** (tries - 1), MAX_BACKOFF_MS, maxDelayMs);
  return Math.round(backoffMs * (0.5 + Math.random() / 2));
}

async function pause(delayMs: number, what: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, signal ? { signal } : {});
  } catch (error) {
    throw new HyperError('canceled', `${what}: canceled`, { cause: error });
  }
}
