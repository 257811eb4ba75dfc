import { createHash } from 'node:crypto';
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

/**
 * Blobs by digest, as an OCI image layout on disk (OCI image-spec, image-layout.md). A blob is visible only once it is whole, verified and on disk.
 * Made by `openContentStore`.
 */
export interface ContentStore {
  /** Directory for temporary files, on the same file system; emptied when the store is opened. */
  readonly temporary: string;
  path(digest: Digest): string;
  has(digest: Digest): Promise<boolean>;
  /** The whole blob; `maxBytes` bounds it. Throws `not-found`, `limit`. */
  read(digest: Digest, maxBytes: number): Promise<Buffer>;
  /** Stores bytes whose digest the caller knows. Throws `corrupt` when it is another's. */
  write(digest: Digest, bytes: Uint8Array): Promise<void>;
  /** A draft for a blob that arrives in parts. */
  draft(digest: Digest): Promise<BlobDraft>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<Digest[]>;
}

/** A blob on its way in. Disposing without `commit` leaves nothing. */
export interface BlobDraft extends AsyncDisposable {
  readonly sizeBytes: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Back to nothing, for a transfer that starts over. */
  reset(): Promise<void>;
  /** Verifies the digest, makes it durable and visible. Throws `corrupt`. */
  commit(): Promise<void>;
}

export async function openContentStore(root: string): Promise<ContentStore> {
  const blobs = join(root, 'blobs', 'sha256');
  const temporary = join(root, 'tmp');
  await rm(temporary, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  await writeFile(join(root, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n');
  const path = (digest: Digest): string => join(blobs, digest.slice('sha256:'.length));
  let drafts = 0;

  const store: ContentStore = {
    temporary,
    path,
    async has(digest) {
      return stat(path(digest)).then(
        () => true,
        () => false,
      );
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
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        throw new HyperError('not-found', `read blob ${digest}: it is not in the store`, { cause: error });
      }
    },
    async write(digest, bytes) {
      if (await store.has(digest)) return;
      await using draft = await store.draft(digest);
      await draft.append(bytes);
      await draft.commit();
    },
    async draft(digest) {
      const file = join(temporary, `blob-${++drafts}`);
      return new FileDraft(digest, file, path(digest), blobs, await open(file, 'w', 0o600));
    },
    remove: (digest) => rm(path(digest), { force: true }),
    async list() {
      return (await readdir(blobs)).map((name) => `sha256:${name}` as Digest);
    },
  };
  return store;
}

class FileDraft implements BlobDraft {
  readonly #digest: Digest;
  readonly #file: string;
  readonly #target: string;
  readonly #directory: string;
  readonly #handle: FileHandle;
  #hash = createHash('sha256');
  #size = 0;
  #open = true;

  constructor(digest: Digest, file: string, target: string, directory: string, handle: FileHandle) {
    this.#digest = digest;
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

  async commit(): Promise<void> {
    const got = `sha256:${this.#hash.copy().digest('hex')}`;
    if (got !== this.#digest)
      throw new HyperError(
        'corrupt',
        `verify blob: expected ${this.#digest}, got ${got} of ${this.#size} bytes`,
      );
    await this.#handle.sync();
    await this.#close();
    await rename(this.#file, this.#target);
    await using directory = await open(this.#directory, 'r');
    await directory.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await rm(this.#file, { force: true });
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}
