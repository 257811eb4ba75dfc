import { createHash } from 'node:crypto';
import { access, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import { Semaphore } from '../machines/semaphore.ts';

export const CACHE_SHARING = ['shared', 'private', 'locked'] as const;
/** Of several steps at once. `shared` and `locked`: they wait for each other; `private`: who finds it in use gets another. */
export type CacheSharing = (typeof CACHE_SHARING)[number];

/** Stands beside a disk that is not yet what it is to begin with. */
const UNFINISHED = '.new';
/** Private caches of one id at once. */
const MAX_PRIVATE = 32;

/** A cache's disk, which nobody else has until it is disposed of. */
export interface CacheDisk extends AsyncDisposable {
  readonly path: string;
  /** Nothing is on it yet. */
  readonly isNew: boolean;
  /** What it begins with is whole: a new one that never gets so far is removed. */
  keep(): Promise<void>;
}

/**
 * What `RUN --mount=type=cache` keeps from one build to the next: a disk for each cache. A disk is in one machine at a time, so that steps that share it wait for
 * each other.
 */
export class CacheDisks {
  readonly #directory: string;
  readonly #scratch: ScratchDisks;
  readonly #users = new Map<string, { readonly turn: Semaphore; count: number }>();

  constructor(directory: string, scratch: ScratchDisks) {
    this.#directory = directory;
    this.#scratch = scratch;
  }

  /** Resolves when nobody else has the disk. Rejects `limit` where too many want one of their own. */
  async acquire(id: string, sharing: CacheSharing, signal: AbortSignal): Promise<CacheDisk> {
    const path = this.#place(id, sharing);
    const user = this.#users.get(path) ?? { turn: new Semaphore(1), count: 0 };
    this.#users.set(path, user);
    user.count++;
    const leave = (): void => {
      if (--user.count === 0) this.#users.delete(path);
    };
    try {
      const place = await user.turn.enter(signal);
      try {
        return await this.#open(path, () => {
          place[Symbol.dispose]();
          leave();
        });
      } catch (error) {
        place[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #open(path: string, release: () => void): Promise<CacheDisk> {
    const mark = `${path}${UNFINISHED}`;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    if (await exists(mark)) await rm(path, { force: true }); // of a daemon that has died meanwhile
    const isNew = !(await exists(path));
    if (isNew) await writeFile(mark, '');
    await this.#scratch.ensure(path);
    return {
      ...{ path, isNew },
      keep: () => rm(mark, { force: true }),
      [Symbol.asyncDispose]: async () => {
        if (await exists(mark)) for (const file of [path, mark]) await rm(file, { force: true });
        release();
      },
    };
  }

  #place(id: string, sharing: CacheSharing): string {
    const pathOf = (name: string): string =>
      join(this.#directory, `${createHash('sha256').update(name).digest('hex')}.img`);
    if (sharing !== 'private') return pathOf(id);
    for (let index = 0; index < MAX_PRIVATE; index++) {
      const path = pathOf(index === 0 ? id : `${id}\n${index}`);
      if (!this.#users.has(path)) return path;
    }
    throw new HyperError(
      'limit',
      `RUN --mount=type=cache: ${MAX_PRIVATE} steps have a cache "${id}" of their own`,
    );
  }

  /** Removes the disks that nobody uses. */
  async prune(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const disk = join(this.#directory, name.replace(/\.img.*$/, '.img'));
      if (!this.#users.has(disk)) await rm(join(this.#directory, name), { force: true });
    }
  }

  /** Bytes that they take on the host's disk. */
  async usageBytes(): Promise<number> {
    let bytes = 0;
    for (const name of (await readdir(this.#directory)).filter((file) => file.endsWith('.img')))
      bytes += (await stat(join(this.#directory, name))).blocks * 512;
    return bytes;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
