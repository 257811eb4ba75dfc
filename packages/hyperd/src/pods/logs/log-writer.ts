import { isAscii } from 'node:buffer';
import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { OutputStream } from '../../guest/index.ts';
import type { StreamOffsets } from '../pod-records.ts';
import { encodeAscii, encodeEntry, timestamp } from './entry.ts';

/** A longer line is written in parts, the way Docker does it. */
export const MAX_LINE_BYTES = 16_384;
/** What a container has written at once may be a hundred times as much as entries, where its lines are short: so many are written before further ones are made. */
const MAX_PENDING_LINES = 1_000;
const RETRY_MS = 1_000;

export interface LogWriterOptions {
  readonly path: string;
  /** What the log holds already, over all runs: `recoverLog`. */
  readonly offsets: StreamOffsets;
  /** What every entry says besides: `attributesText`. */
  readonly attributes?: string;
  /** A file that has come to this is put aside as `path.1`. */
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
 * container's log; writes at the end of the tick, or when there is much.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #partial: Record<OutputStream, Held | undefined> = { stdout: undefined, stderr: undefined };
  readonly #written: Record<OutputStream, number>;
  /** Offsets with all that is pending. */
  readonly #added: Record<OutputStream, number>;
  #pending: { readonly text: string; readonly stream: OutputStream; readonly endOffset: number }[] = [];
  #fd: number;
  #size: number;
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#written = { ...options.offsets };
    this.#added = { ...options.offsets };
    this.#fd = openSync(options.path, 'a', 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  offsets(): StreamOffsets {
    return { ...this.#written };
  }

  append(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    const held = this.#partial[stream];
    const bytes = held
      ? Buffer.concat([held.bytes, chunk])
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const startOffset = endOffset - bytes.length;
    const time = timestamp();
    const text = isAscii(bytes) ? bytes.toString('latin1') : undefined; // what is mostly written, the quick way
    let at = 0;
    while (at < bytes.length) {
      const feed = bytes.indexOf(0x0a, at);
      const lineEnd = feed < 0 ? bytes.length : feed + 1;
      const end = Math.min(lineEnd, at + MAX_LINE_BYTES);
      if (feed < 0 && end - at < MAX_LINE_BYTES) break;
      this.#add(stream, text?.slice(at, end) ?? bytes.subarray(at, end), startOffset + end, time);
      at = end;
    }
    this.#partial[stream] =
      at < bytes.length ? { bytes: Buffer.from(bytes.subarray(at)), endOffset } : undefined;
  }

  /** The stream has ended: what is held of an unfinished line is written, too. */
  finish(stream: OutputStream): void {
    const held = this.#partial[stream];
    this.#partial[stream] = undefined;
    if (held && !this.#closed) this.#add(stream, held.bytes, held.endOffset, timestamp());
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

  #add(stream: OutputStream, line: string | Buffer, endOffset: number, time: string): void {
    this.#added[stream] = endOffset;
    const { attributes } = this.#options;
    const entry = { stream, time, ends: this.#added };
    const text =
      typeof line === 'string'
        ? encodeAscii(line, entry, attributes)
        : encodeEntry({ ...entry, bytes: line }, attributes);
    this.#pending.push({ text, stream, endOffset });
    if (this.#failing) return;
    if (this.#pending.length >= MAX_PENDING_LINES) this.#flush();
    else this.#scheduled ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    while (this.#pending.length > 0 && !this.#closed) {
      const count = this.#fitting();
      try {
        this.#write(
          Buffer.from(
            this.#pending
              .slice(0, count)
              .map(({ text }) => text)
              .join(''),
          ),
        );
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#failing = false;
      const done = this.#pending.splice(0, count);
      for (const { stream, endOffset } of done) this.#written[stream] = endOffset;
      for (const stream of ['stdout', 'stderr'] as const)
        if (done.some((entry) => entry.stream === stream))
          this.#options.onDurable(stream, this.#written[stream]);
      if (this.#size >= this.#options.maxSizeBytes) this.#rotate();
    }
  }

  /** How many of the pending entries fill up the file. */
  #fitting(): number {
    let room = this.#options.maxSizeBytes - this.#size;
    let count = 0;
    for (const { text } of this.#pending) {
      count++;
      room -= text.length;
      if (room <= 0) break;
    }
    return count;
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

/** Moves NAME.1 to NAME.2 and so on, NAME to NAME.1, the last one away; opens a new NAME. Who reads an old one still has it. */
function rotateFiles(path: string, maxFiles: number): number {
  if (maxFiles === 1) rmSync(path, { force: true });
  for (let number = maxFiles - 2; number >= 0; number--) {
    const from = number === 0 ? path : `${path}.${number}`;
    try {
      renameSync(from, `${path}.${number + 1}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return openSync(path, 'a', 0o640);
}
