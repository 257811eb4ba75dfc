import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { HyperError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { TarScanner } from '../../tar/tar-scanner.ts';
import { BLOCK_BYTES, type LayerEntry } from './layer-index.ts';

const WRITE_BYTES = 1 << 20;
const HOLE_BYTES = 1 << 18;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** How many uncompressed bytes an image may still have; shared by its layers. */
export class UnpackBudget {
  readonly #maxBytes: number;
  #left: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#left = maxBytes;
  }

  /** Throws `limit` when there is not as much left. */
  take(bytes: number, what: string): void {
    this.#left -= bytes;
    if (this.#left < 0)
      throw new HyperError(
        'limit',
        `unpack ${what}: the image has more than ${this.#maxBytes} bytes uncompressed, which is the most that is allowed (--max-image-size)`,
      );
  }

  /** Gives back what a try that failed has taken. */
  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

export interface WrittenLayer {
  readonly entries: readonly LayerEntry[];
  /** Digest of the tar. */
  readonly diffId: Digest;
  readonly tarBytes: number;
  /** Of the data file. */
  readonly dataDigest: Digest;
  readonly dataBytes: number;
}

/**
 * Turns a layer's tar into a list of its entries and a file of their contents, each from a block of its own on, in one pass: the tar itself is not kept.
 */
export class LayerWriter {
  readonly #file: FileHandle;
  readonly #budget: UnpackBudget;
  readonly #what: string;
  readonly #entries: LayerEntry[] = [];
  readonly #tarHash = createHash('sha256');
  readonly #dataHash = createHash('sha256');
  readonly #scanner: TarScanner;
  #tarBytes = 0;
  #blocks = 0;
  #left = 0;
  #parts: Buffer[] = [];
  #waiting = 0;
  #written = 0;

  constructor(file: FileHandle, budget: UnpackBudget, what: string) {
    this.#file = file;
    this.#budget = budget;
    this.#what = what;
    this.#scanner = new TarScanner({
      onEntry: (entry) => {
        const firstBlock = entry.sizeBytes > 0 ? this.#blocks : 0;
        this.#blocks += Math.ceil(entry.sizeBytes / BLOCK_BYTES);
        this.#left = entry.sizeBytes;
        this.#entries.push({ ...entry, firstBlock });
      },
      onData: (chunk) => this.#content(chunk),
    });
  }

  get tarBytes(): number {
    return this.#tarBytes;
  }

  /** Takes the next bytes of the tar. Throws `corrupt`, `unsupported`, `limit`. */
  async write(chunk: Buffer): Promise<void> {
    this.#budget.take(chunk.length, this.#what);
    this.#tarBytes += chunk.length;
    this.#tarHash.update(chunk);
    this.#inLayer(() => this.#scanner.push(chunk));
    if (this.#waiting >= WRITE_BYTES) await this.#flush();
  }

  async finish(): Promise<WrittenLayer> {
    this.#inLayer(() => this.#scanner.finish());
    await this.#flush();
    await this.#file.truncate(this.#written);
    return {
      ...{ entries: this.#entries, tarBytes: this.#tarBytes, dataBytes: this.#blocks * BLOCK_BYTES },
      diffId: `sha256:${this.#tarHash.digest('hex')}` as Digest,
      dataDigest: `sha256:${this.#dataHash.digest('hex')}` as Digest,
    };
  }

  #content(chunk: Buffer): void {
    this.#push(chunk);
    this.#left -= chunk.length;
    const last = (this.#entries.at(-1)?.sizeBytes ?? 0) % BLOCK_BYTES;
    if (this.#left === 0 && last > 0) this.#push(ZEROS.subarray(0, BLOCK_BYTES - last));
  }

  #push(bytes: Buffer): void {
    this.#dataHash.update(bytes);
    this.#parts.push(bytes);
    this.#waiting += bytes.length;
  }

  /** Zeros are left out: the file has holes there. */
  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#waiting = 0;
    for (let at = 0; at < bytes.length; at += HOLE_BYTES) {
      const part = bytes.subarray(at, at + HOLE_BYTES);
      const isHole = part.equals(ZEROS.subarray(0, part.length));
      if (!isHole) await writeAll(this.#file, part, this.#written + at);
    }
    this.#written += bytes.length;
  }

  #inLayer(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof HyperError)
        throw new HyperError(error.code, `unpack ${this.#what}: ${error.message}`, { cause: error });
      throw error;
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}
