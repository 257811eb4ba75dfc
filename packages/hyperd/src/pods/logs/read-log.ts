import type { LogOptions } from '../pod-service.ts';
import type { LogEntry } from './entry.ts';
import { LogCursor } from './log-cursor.ts';

/** setTimeout takes no more: whoever follows for longer is ended after 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Tells a reader that follows whether more can come, and when there is more. */
export interface LogActivity {
  /** Resolves when something is written, the log is closed, or the signal aborts, after this call. */
  changed(signal: AbortSignal): Promise<void>;
  /** False once nothing more will come. */
  isOpen(): boolean;
}

/**
 * The entries that `options` select, oldest first; with `follow`, goes on until the container has ended. `tail` and `since` are looked for from the end.
 */
export async function* readLog(
  path: string,
  maxFiles: number,
  options: LogOptions,
  activity: LogActivity,
): AsyncGenerator<LogEntry> {
  using cursor = new LogCursor(path, maxFiles);
  using end = until(options);
  if (options.tail !== undefined || options.since !== undefined) await cursor.seekBack(isBefore(options));
  for (;;) {
    // Asked before reading: what is written until then is seen, and what comes later wakes us.
    const wasOpen = activity.isOpen();
    const changed = activity.changed(end.signal);
    for (let entry = await cursor.next(); entry; entry = await cursor.next()) {
      if (options.signal.aborted || isLate(entry, options)) return;
      if (wanted(entry, options)) yield entry;
    }
    if (!options.follow || !wasOpen || end.signal.aborted) return;
    await changed;
  }
}

/** Tells of entries, the last one first, whether they come before those that are to be read. */
function isBefore(options: LogOptions): (entry: LogEntry) => boolean {
  let missing = options.tail ?? Number.POSITIVE_INFINITY;
  return (entry) => {
    if (options.since !== undefined && Date.parse(entry.time) < options.since.getTime()) return true;
    if (isLate(entry, options) || !wanted(entry, options)) return false;
    return missing-- <= 0;
  };
}

/** Aborted with the reader's signal, and at the time until which it follows. */
function until({ follow, until, signal }: LogOptions): Disposable & { readonly signal: AbortSignal } {
  if (!follow || until === undefined) return { signal, [Symbol.dispose]: () => undefined };
  const end = new AbortController();
  const delayMs = Math.min(Math.max(0, until.getTime() - Date.now()), MAX_TIMER_MS);
  const timer = setTimeout(() => end.abort(), delayMs);
  return { signal: AbortSignal.any([signal, end.signal]), [Symbol.dispose]: () => clearTimeout(timer) };
}

/** The log is in order of time: nothing that is wanted follows. */
function isLate({ time }: LogEntry, { until }: LogOptions): boolean {
  return until !== undefined && Date.parse(time) > until.getTime();
}

function wanted({ stream, time }: LogEntry, { since, ...options }: LogOptions): boolean {
  return options[stream] && (since === undefined || Date.parse(time) >= since.getTime());
}
