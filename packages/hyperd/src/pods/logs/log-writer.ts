import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs';
import type { OutputStream } from '../../guest/index.ts';
import type { StreamOffsets } from '../pod-records.ts';
import { encodeEntry, timestamp } from './entry.ts';

/** A longer line is written in parts, the way Docker does it. */
export const MAX_LINE_BYTES = 16_384;
const RETRY_MS = 1_000;

export interface LogWriterOptions {
  readonly path: string;
  /** What the log holds already, over all runs: `recoverLog`. */
  readonly offsets: StreamOffsets;
  /** A file beyond this is put aside as `path.1`. */
  readonly maxSizeBytes: number;
  /** How many files there are, the current one included. */
  readonly maxFiles: number;
  /** Everything of the stream below `offset` is in the file. */
  onDurable(stream: OutputStream, offset: number): void;
  /** Writing fails; it is tried again. Told once until it works again. */
  onError(error: unknown): void;
}

interface Held {
  readonly bytes: Buffer;
  readonly endOffset: number;
}

/**
 * Writes a container's output to its log, whole lines at a time. What is not written is not called durable, so the guest keeps it. Made and closed by the
 * container's log; writes at the end of the tick.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #partial: Record<OutputStream, Held | undefined> = { stdout: undefined, stderr: undefined };
  readonly #written: Record<OutputStream, number>;
  #pending: string[] = [];
  #pendingOffsets: Partial<Record<OutputStream, number>> = {};
  #fd: number;
  #size: number;
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#written = { ...options.offsets };
    this.#fd = openSync(options.path, 'a', 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  offsets(): StreamOffsets {
    return { ...this.#written };
  }

  append(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    const held = this.#partial[stream];
    const bytes = held ? Buffer.concat([held.bytes, chunk]) : Buffer.from(chunk);
    const startOffset = endOffset - bytes.length;
    let at = 0;
    while (at < bytes.length) {
      const feed = bytes.indexOf(0x0a, at);
      const lineEnd = feed < 0 ? bytes.length : feed + 1;
      const end = Math.min(lineEnd, at + MAX_LINE_BYTES);
      if (feed < 0 && end - at < MAX_LINE_BYTES) break;
      this.#add(stream, bytes.subarray(at, end), startOffset + end);
      at = end;
    }
    this.#partial[stream] =
      at < bytes.length ? { bytes: Buffer.from(bytes.subarray(at)), endOffset } : undefined;
  }

  /** The stream has ended: what is held of an unfinished line is written, too. */
  finish(stream: OutputStream): void {
    const held = this.#partial[stream];
    this.#partial[stream] = undefined;
    if (held && !this.#closed) this.#add(stream, held.bytes, held.endOffset);
  }

  /** Writes what there is and lets go of the file. Repeatable. */
  close(): void {
    this.finish('stdout');
    this.finish('stderr');
    this.release();
  }

  /** Lets go of the file without an unfinished line: the guest has it still, and gives it to the next daemon. Repeatable. */
  release(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    clearTimeout(this.#retry);
    clearImmediate(this.#scheduled);
    closeSync(this.#fd);
  }

  #add(stream: OutputStream, bytes: Buffer, endOffset: number): void {
    this.#pending.push(encodeEntry({ stream, time: timestamp(), bytes, endOffset }));
    this.#pendingOffsets[stream] = endOffset;
    if (!this.#failing) this.#scheduled ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    if (this.#pending.length === 0 || this.#closed) return;
    const data = Buffer.from(this.#pending.join(''));
    try {
      this.#write(data);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#failing = false;
    this.#pending = [];
    const offsets = this.#pendingOffsets;
    this.#pendingOffsets = {};
    for (const [stream, offset] of Object.entries(offsets) as [OutputStream, number][]) {
      this.#written[stream] = offset;
      this.#options.onDurable(stream, offset);
    }
    if (this.#size >= this.#options.maxSizeBytes) this.#rotate();
  }

  /** All of it or nothing: a part that fits on a full disk is taken back. */
  #write(data: Buffer): void {
    let done = 0;
    try {
      while (done < data.length) done += writeSync(this.#fd, data, done);
    } catch (error) {
      if (done > 0) ftruncateSync(this.#fd, this.#size);
      throw error;
    }
    this.#size += data.length;
  }

  #fail(error: unknown): void {
    if (!this.#failing) this.#options.onError(error);
    this.#failing = true;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#flush(), RETRY_MS).unref();
  }

  #rotate(): void {
    const { path, maxFiles } = this.#options;
    try {
      const next = rotateFiles(path, maxFiles);
      closeSync(this.#fd);
      this.#fd = next;
      this.#size = 0;
    } catch (error) {
      this.#options.onError(error); // the file grows on until it works
    }
  }
}

/** Moves NAME.1 to NAME.2 and so on, NAME to NAME.1; opens a new NAME. With one file only, it starts over. */
function rotateFiles(path: string, maxFiles: number): number {
  for (let number = maxFiles - 2; number >= 0; number--) {
    const from = number === 0 ? path : `${path}.${number}`;
    try {
      renameSync(from, `${path}.${number + 1}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return openSync(path, maxFiles === 1 ? 'w' : 'a', 0o640);
}
