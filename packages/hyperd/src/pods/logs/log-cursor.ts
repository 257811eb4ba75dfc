import { type FileHandle, open, stat } from 'node:fs/promises';
import { decodeEntry, type LogEntry } from './entry.ts';

const CHUNK_BYTES = 65_536;

/**
 * Reads a log's entries from the oldest file on, over rotations, while it is being written. Disposing closes the file. Files that rotation has
 * removed before they were read are passed over.
 */
export class LogCursor implements AsyncDisposable {
  readonly #path: string;
  readonly #maxFiles: number;
  #file: FileHandle | undefined;
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Reads on; false when there is nothing new. */
  async #fill(): Promise<boolean> {
    if (!this.#file) return this.#openFile(await this.#oldest());
    if (await this.#readMore(this.#file)) return true;
    const newer = await this.#newerFile();
    if (newer === undefined) return false;
    // It may have been written to between the two looks; now that it is put aside, it stays as it is.
    return (await this.#readMore(this.#file)) || this.#openFile(newer);
  }

  async #readMore(file: FileHandle): Promise<boolean> {
    const { buffer, bytesRead } = await file.read(
      Buffer.allocUnsafe(CHUNK_BYTES),
      0,
      CHUNK_BYTES,
      this.#position,
    );
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

  async #openFile(path: string | undefined): Promise<boolean> {
    if (path === undefined) return false;
    try {
      const file = await open(path, 'r');
      await this.#file?.close();
      this.#file = file;
      this.#inode = (await file.stat()).ino;
      this.#position = 0;
      this.#rest = Buffer.alloc(0);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  async #oldest(): Promise<string | undefined> {
    for (let number = this.#maxFiles - 1; number >= 0; number--)
      if ((await inodeOf(this.#name(number))) !== undefined) return this.#name(number);
    return undefined;
  }

  /** The file that follows the open one, which has been read to its end; undefined when that is the current one. */
  async #newerFile(): Promise<string | undefined> {
    for (let number = 0; number < this.#maxFiles; number++) {
      if ((await inodeOf(this.#name(number))) !== this.#inode) continue;
      return number === 0 ? undefined : this.#name(number - 1);
    }
    return this.#oldest();
  }

  #name(number: number): string {
    return number === 0 ? this.#path : `${this.#path}.${number}`;
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
