import { closeSync, fstatSync, openSync, read as readWithCallback, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { decodeEntry, type LogEntry } from './entry.ts';
import { linesBackward } from './lines-backward.ts';

const read = promisify(readWithCallback);
const CHUNK_BYTES = 65_536;

/**
 * Reads a log's entries from the oldest file on, over rotations, while it is being written. Disposing closes the file. Files that rotation has
 * removed before they were read are passed over. Files are looked up and opened without a pause in between: the writer, which belongs to the same
 * process, cannot rotate them meanwhile.
 */
export class LogCursor implements Disposable {
  readonly #path: string;
  readonly #maxFiles: number;
  #fd: number | undefined;
  #inode = 0;
  #position = 0;
  #rest: Buffer = Buffer.alloc(0);
  #lines: Buffer[] = [];

  constructor(path: string, maxFiles: number) {
    this.#path = path;
    this.#maxFiles = maxFiles;
  }

  /** The next entry, or undefined when there is none at the moment. */
  async next(): Promise<LogEntry | undefined> {
    for (;;) {
      for (let line = this.#lines.shift(); line; line = this.#lines.shift()) {
        const entry = decodeEntry(line.toString());
        if (entry) return entry;
      }
      if (!(await this.#fill())) return undefined;
    }
  }

  /**
   * Goes to the first entry of the log's end that `isPast` is false for, asked from the last entry backward: reading begins behind the first one that it is true for.
   * Before the first `next` only.
   */
  async seekBack(isPast: (entry: LogEntry) => boolean): Promise<void> {
    const fds = this.#openAll();
    try {
      for (const [index, fd] of fds.entries()) {
        const { size, ino } = fstatSync(fd);
        for await (const { line, end } of linesBackward(fd, size)) {
          const entry = decodeEntry(line.toString());
          if (!entry || !isPast(entry)) continue;
          this.#take(fds.splice(index, 1)[0] as number, ino, end);
          return;
        }
      }
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Reads on; false when there is nothing new. */
  async #fill(): Promise<boolean> {
    if (this.#fd !== undefined && (await this.#readMore(this.#fd))) return true;
    if (this.#fd !== undefined && this.#isCurrent()) return false;
    // It may have been written to between the two looks; now that it is put aside, it stays as it is.
    if (this.#fd !== undefined && (await this.#readMore(this.#fd))) return true;
    return this.#openNext();
  }

  async #readMore(fd: number): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await read(fd, buffer, 0, CHUNK_BYTES, this.#position);
    if (bytesRead === 0) return false;
    this.#position += bytesRead;
    this.#split(buffer.subarray(0, bytesRead));
    return true;
  }

  #split(chunk: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    for (let feed = data.indexOf(0x0a); feed >= 0; feed = data.indexOf(0x0a, at)) {
      this.#lines.push(data.subarray(at, feed));
      at = feed + 1;
    }
    this.#rest = Buffer.from(data.subarray(at));
  }

  #isCurrent(): boolean {
    return inodeOf(this.#path) === this.#inode;
  }

  /** Opens the file that follows the open one, which has been read to its end; the oldest where there is none, or it is gone. */
  #openNext(): boolean {
    let next: number | undefined;
    for (let number = 0; number < this.#maxFiles; number++) {
      const inode = inodeOf(this.#name(number));
      if (inode === undefined) break;
      if (inode === this.#inode) break;
      next = number;
    }
    if (next === undefined) return false;
    const fd = openSync(this.#name(next), 'r');
    this.#take(fd, fstatSync(fd).ino, 0);
    return true;
  }

  #take(fd: number, inode: number, position: number): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = fd;
    this.#inode = inode;
    this.#position = position;
    this.#rest = Buffer.alloc(0);
  }

  /** All files there are, the current one first. Whoever asked closes them. */
  #openAll(): number[] {
    const fds: number[] = [];
    for (let number = 0; number < this.#maxFiles; number++) {
      if (inodeOf(this.#name(number)) === undefined) break;
      fds.push(openSync(this.#name(number), 'r'));
    }
    return fds;
  }

  #name(number: number): string {
    return number === 0 ? this.#path : `${this.#path}.${number}`;
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
