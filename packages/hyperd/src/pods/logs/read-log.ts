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
 * The entries that `options` select, oldest first; with `follow`, goes on until the container has ended. Holds no more than the `tail` last entries in memory.
 */
export async function* readLog(
  path: string,
  maxFiles: number,
  options: LogOptions,
  activity: LogActivity,
): AsyncGenerator<LogEntry> {
  await using cursor = new LogCursor(path, maxFiles);
  using end = until(options);
  if (options.tail !== undefined) yield* await lastEntries(cursor, options, options.tail);
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

async function lastEntries(cursor: LogCursor, options: LogOptions, count: number): Promise<LogEntry[]> {
  const last: LogEntry[] = [];
  for (let entry = await cursor.next(); entry; entry = await cursor.next()) {
    if (isLate(entry, options)) break;
    if (!wanted(entry, options)) continue;
    last.push(entry);
    if (last.length > count) last.shift();
  }
  return last;
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
