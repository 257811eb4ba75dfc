import { mkdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { OutputStream } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import { attributesText, type LogEntry } from './logs/entry.ts';
import { type LogChoice, type LogSettings, logSettings } from './logs/log-settings.ts';
import { LogWriter, MAX_LINE_BYTES } from './logs/log-writer.ts';
import { type LogActivity, readLog } from './logs/read-log.ts';
import { recoverLog } from './logs/recover-log.ts';
import type { ContainerRecord, StreamOffsets } from './pod-records.ts';
import type { LogLine, LogOptions } from './pod-service.ts';
import type { OutputLog } from './session.ts';

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

export interface LogPlace {
  readonly directory: string;
  /** Whether every pod has a directory of its own there. */
  readonly isByPod: boolean;
  /** For pods that leave it open. */
  readonly choice: LogChoice;
}

type LogSubject = Pick<ContainerRecord, 'podId' | 'id' | 'name' | 'spec' | 'run'>;

/** The logs of all containers: `<directory>/<pod>/<container>-json.log`. `choice` of its calls: what the container's pod says of logs. */
export class ContainerLogs {
  readonly #place: LogPlace;
  readonly #open = new Map<ContainerId, Activity>();

  constructor(place: LogPlace) {
    this.#place = place;
  }

  open(container: LogSubject, choice: LogChoice, events: LogEvents): ContainerLog {
    const settings = logSettings(choice, this.#place.choice);
    if (!settings.isKept) return forgotten(events);
    const path = this.#path(container.podId, container.id);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const activity = new Activity();
    this.#open.set(container.id, activity);
    const { maxSizeBytes, maxFiles } = settings;
    const writer = new LogWriter({
      ...{ path, offsets: recoverLog(path, maxFiles), maxSizeBytes, maxFiles },
      attributes: attributesText(attributesOf(container, settings)),
      onDurable: (stream, offset) => {
        events.onDurable(stream, offset);
        activity.notify();
      },
      onError: (error) => events.onError(error),
    });
    const forget = (): void => {
      if (this.#open.get(container.id) === activity) this.#open.delete(container.id);
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

  /** Throws `unsupported` where the container has no log. */
  read({ podId, id, name }: LogSubject, choice: LogChoice, options: LogOptions): AsyncIterable<LogLine> {
    const { isKept, maxFiles } = logSettings(choice, this.#place.choice);
    if (!isKept) throw new HyperError('unsupported', `container ${name}: logger not support read`);
    const activity: LogActivity = this.#open.get(id) ?? {
      changed: () => Promise.resolve(),
      isOpen: () => false,
    };
    return linesOf(readLog(this.#path(podId, id), maxFiles, options, activity));
  }

  /** Of a container that is being removed. */
  async remove({ podId, id }: Pick<ContainerRecord, 'podId' | 'id'>): Promise<void> {
    const path = this.#path(podId, id);
    for (const name of await namesIn(dirname(path)))
      if (name.startsWith(basename(path))) await rm(join(dirname(path), name), { force: true });
  }

  /** Everything of a pod that is being removed. */
  async removePod(pod: PodId, containers: readonly ContainerId[]): Promise<void> {
    if (this.#place.isByPod) await rm(join(this.#place.directory, pod), { recursive: true, force: true });
    else for (const id of containers) await this.remove({ podId: pod, id });
  }

  #path(pod: PodId, container: ContainerId): string {
    const { directory, isByPod } = this.#place;
    return join(directory, isByPod ? pod : '', `${container}-json.log`);
  }
}

/** A log that is not kept: all of it counts as written. */
function forgotten(events: LogEvents): ContainerLog {
  return {
    append: (stream, _, endOffset) => events.onDurable(stream, endOffset),
    finish: () => undefined,
    offsets: () => ({ stdout: 0, stderr: 0 }),
    close: () => undefined,
    release: () => undefined,
  };
}

/** The labels and variables of the container that its log's entries carry. */
function attributesOf({ spec, run }: LogSubject, { labels, envs }: LogSettings): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const name of labels) {
    const value = spec.labels[name];
    if (value !== undefined) attributes[name] = value;
  }
  for (const name of envs) {
    const entry = run.env.find((variable) => variable.startsWith(`${name}=`));
    if (entry !== undefined) attributes[name] = entry.slice(name.length + 1);
  }
  return attributes;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
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
  readonly #waiting = new Set<() => void>();
  #isOpen = true;

  isOpen(): boolean {
    return this.#isOpen;
  }

  changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted || !this.#isOpen) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  notify(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  end(): void {
    this.#isOpen = false;
    this.notify();
  }
}
