import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';

const READ_BYTES = 1 << 20;

/**
 * Blobs by digest, as an OCI image layout on disk (OCI image-spec, image-layout.md). A blob is visible only once it is whole, verified and on disk.
 * Made by `openContentStore`.
 */
export interface ContentStore {
  /** Directory for temporary files, on the same file system; emptied when the store is opened. */
  readonly temporary: string;
  path(digest: Digest): string;
  /** Whether the blob is there, with the size it must have where one is given. */
  has(digest: Digest, sizeBytes?: number): Promise<boolean>;
  /** Bytes of the blob, or undefined where it is not there. */
  sizeBytes(digest: Digest): Promise<number | undefined>;
  /** The blob's bytes from an offset on. Throws `not-found` when read. */
  stream(digest: Digest, fromByte?: number): AsyncIterable<Buffer>;
  /** Whether the blob is there and has its digest. */
  verify(digest: Digest): Promise<boolean>;
  /** The whole blob; `maxBytes` bounds it. Throws `not-found`, `limit`. */
  read(digest: Digest, maxBytes: number): Promise<Buffer>;
  /** Stores bytes whose digest the caller knows. Throws `corrupt` when it is another's. */
  write(digest: Digest, bytes: Uint8Array): Promise<void>;
  /** A draft for a blob that arrives in parts, of whatever digest where none is given. */
  draft(digest?: Digest): Promise<BlobDraft>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<Digest[]>;
}

/** A blob on its way in. Disposing without `commit` leaves nothing. */
export interface BlobDraft extends AsyncDisposable {
  readonly sizeBytes: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Back to nothing, for a transfer that starts over. */
  reset(): Promise<void>;
  /** Nothing more is to come: gives its digest, and frees what only writing needs. */
  seal(): Promise<Digest>;
  /** The whole content, once sealed. */
  read(): Promise<Buffer>;
  /** Verifies the digest where one was expected, makes the blob durable and visible. Throws `corrupt`. */
  commit(): Promise<void>;
}

export async function openContentStore(root: string): Promise<ContentStore> {
  const blobs = join(root, 'blobs', 'sha256');
  const temporary = join(root, 'tmp');
  await rm(temporary, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  await writeLayout(join(root, 'oci-layout'));
  const path = (digest: Digest): string => join(blobs, digest.slice('sha256:'.length));
  let drafts = 0;

  const store: ContentStore = {
    temporary,
    path,
    async has(digest, sizeBytes) {
      const found = await store.sizeBytes(digest);
      return found !== undefined && (sizeBytes === undefined || found === sizeBytes);
    },
    async sizeBytes(digest) {
      try {
        return (await stat(path(digest))).size;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async *stream(digest, fromByte = 0) {
      try {
        yield* createReadStream(path(digest), {
          start: fromByte,
          highWaterMark: READ_BYTES,
        }) as AsyncIterable<Buffer>;
      } catch (error) {
        throw missing(digest, error);
      }
    },
    async verify(digest) {
      if (!(await store.has(digest))) return false;
      const hash = createHash('sha256');
      for await (const chunk of store.stream(digest)) hash.update(chunk);
      return `sha256:${hash.digest('hex')}` === digest;
    },
    async read(digest, maxBytes) {
      try {
        const { size } = await stat(path(digest));
        if (size > maxBytes)
          throw new HyperError(
            'limit',
            `read blob ${digest}: it has ${size} bytes, at most ${maxBytes} are read`,
          );
        return await readFile(path(digest));
      } catch (error) {
        throw missing(digest, error);
      }
    },
    async write(digest, bytes) {
      if (await store.verify(digest)) return; // a damaged one is mended
      await using draft = await store.draft(digest);
      await draft.append(bytes);
      await draft.commit();
    },
    async draft(digest) {
      const file = join(temporary, `blob-${++drafts}`);
      return new FileDraft(digest, file, path, blobs, await open(file, 'w', 0o600));
    },
    remove: (digest) => rm(path(digest), { force: true }),
    async list() {
      return (await readdir(blobs)).map((name) => `sha256:${name}` as Digest);
    },
  };
  return store;
}

/** Only where it is missing: a daemon has to start on a full disk, too. */
async function writeLayout(path: string): Promise<void> {
  const text = '{"imageLayoutVersion":"1.0.0"}\n';
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found !== text) await writeFile(path, text);
}

/** The error of a blob that is not there; other errors as they are. */
function missing(digest: Digest, error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return error;
  return new HyperError('not-found', `read blob ${digest}: it is not in the store`, { cause: error });
}

class FileDraft implements BlobDraft {
  readonly #expected: Digest | undefined;
  readonly #file: string;
  readonly #target: (digest: Digest) => string;
  readonly #directory: string;
  readonly #handle: FileHandle;
  #hash = createHash('sha256');
  #size = 0;
  #isOpen = true;
  #isKept = false;
  #digest: Digest | undefined;

  constructor(
    expected: Digest | undefined,
    file: string,
    target: (digest: Digest) => string,
    directory: string,
    handle: FileHandle,
  ) {
    this.#expected = expected;
    this.#file = file;
    this.#target = target;
    this.#directory = directory;
    this.#handle = handle;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#size);
      done += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  async reset(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = createHash('sha256');
    this.#size = 0;
  }

  async seal(): Promise<Digest> {
    this.#digest ??= `sha256:${this.#hash.digest('hex')}` as Digest;
    await this.#close();
    return this.#digest;
  }

  read(): Promise<Buffer> {
    return readFile(this.#isKept && this.#digest ? this.#target(this.#digest) : this.#file);
  }

  async commit(): Promise<void> {
    const digest = await this.seal();
    if (this.#expected !== undefined && digest !== this.#expected)
      throw new HyperError(
        'corrupt',
        `verify blob: expected ${this.#expected}, got ${digest} of ${this.#size} bytes`,
      );
    await syncPath(this.#file);
    await rename(this.#file, this.#target(digest));
    this.#isKept = true;
    await syncPath(this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await rm(this.#file, { force: true });
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
  }
}

async function syncPath(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}
