import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { OutputStream } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import type { LogEntry } from './logs/entry.ts';
import { LogWriter, MAX_LINE_BYTES } from './logs/log-writer.ts';
import { type LogActivity, readLog } from './logs/read-log.ts';
import { recoverLog } from './logs/recover-log.ts';
import type { StreamOffsets } from './pod-records.ts';
import type { LogLine, LogOptions } from './pod-service.ts';
import type { OutputLog } from './session.ts';

/** Logs never grow without bound: this size, this many files, unless the pod says otherwise. */
const DEFAULT_MAX_SIZE_BYTES = 10 * 1024 * 1024;
const DEFAULT_MAX_FILES = 3;

/** A container's log while its init runs: opened by the container at each start, closed by it at each end. */
export interface ContainerLog extends OutputLog {
  /** What it holds of each stream, over all runs. */
  offsets(): StreamOffsets;
  /** Writes what is held back, and lets go of the file. Repeatable. */
  close(): void;
  /** Lets go of the file; what is held back is the next daemon's. */
  release(): void;
}

export interface LogEvents {
  onDurable(stream: OutputStream, offset: number): void;
  onError(error: unknown): void;
}

/** The logs of all containers: `<directory>/<pod>/<container>-json.log`. */
export class ContainerLogs {
  readonly #directory: string;
  readonly #open = new Map<ContainerId, Activity>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  open(pod: PodId, container: ContainerId, events: LogEvents): ContainerLog {
    const path = this.#path(pod, container);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const activity = new Activity();
    this.#open.set(container, activity);
    const writer = new LogWriter({
      path,
      offsets: recoverLog(path, DEFAULT_MAX_FILES),
      ...{ maxSizeBytes: DEFAULT_MAX_SIZE_BYTES, maxFiles: DEFAULT_MAX_FILES },
      onDurable: (stream, offset) => {
        events.onDurable(stream, offset);
        activity.notify();
      },
      onError: (error) => events.onError(error),
    });
    const forget = (): void => {
      if (this.#open.get(container) === activity) this.#open.delete(container);
      activity.end();
    };
    return {
      append: (stream, chunk, endOffset) => writer.append(stream, chunk, endOffset),
      finish: (stream) => writer.finish(stream),
      offsets: () => writer.offsets(),
      close: () => {
        writer.close();
        forget();
      },
      release: () => {
        writer.release();
        forget();
      },
    };
  }

  read(pod: PodId, container: ContainerId, options: LogOptions): AsyncIterable<LogLine> {
    const activity: LogActivity = this.#open.get(container) ?? {
      changed: () => Promise.resolve(),
      isOpen: () => false,
    };
    return linesOf(readLog(this.#path(pod, container), DEFAULT_MAX_FILES, options, activity));
  }

  async remove(pod: PodId, container: ContainerId): Promise<void> {
    const path = this.#path(pod, container);
    await rm(path, { force: true });
    for (let number = 1; number < DEFAULT_MAX_FILES; number++) await rm(`${path}.${number}`, { force: true });
  }

  /** Everything of a pod that is being removed. */
  async removePod(pod: PodId): Promise<void> {
    await rm(join(this.#directory, pod), { recursive: true, force: true });
  }

  #path(pod: PodId, container: ContainerId): string {
    return join(this.#directory, pod, `${container}-json.log`);
  }
}

/** Entries as the API gives them: a line that its program left unfinished is ended, the parts of a long one are not. */
async function* linesOf(entries: AsyncIterable<LogEntry>): AsyncGenerator<LogLine> {
  for await (const { stream, time, bytes } of entries) {
    const isWhole = bytes.at(-1) === 0x0a || bytes.length >= MAX_LINE_BYTES;
    yield { stream, time, bytes: isWhole ? bytes : Buffer.concat([bytes, Buffer.from('\n')]) };
  }
}

/** Wakes those who follow a log. */
class Activity implements LogActivity {
  #isOpen = true;
  #next = Promise.withResolvers<void>();

  isOpen(): boolean {
    return this.#isOpen;
  }

  async changed(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const abort = (): void => aborted.resolve();
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (!signal.aborted && this.#isOpen) await Promise.race([this.#next.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  end(): void {
    this.#isOpen = false;
    this.notify();
  }
}
