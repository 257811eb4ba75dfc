import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import { Semaphore } from '../machines/semaphore.ts';

/**
 * What `RUN --mount=type=cache` keeps from one build to the next: a disk for each cache. A disk has one user at a time, whatever sharing the mount asks for; the
 * others wait.
 */
export class CacheDisks {
  readonly #directory: string;
  readonly #scratch: ScratchDisks;
  readonly #users = new Map<string, { readonly turn: Semaphore; count: number }>();

  constructor(directory: string, scratch: ScratchDisks) {
    this.#directory = directory;
    this.#scratch = scratch;
  }

  /** Resolves when nobody else has the disk. */
  async acquire(id: string, signal: AbortSignal): Promise<{ readonly path: string } & Disposable> {
    const path = join(this.#directory, `${createHash('sha256').update(id).digest('hex')}.img`);
    const user = this.#users.get(path) ?? { turn: new Semaphore(1), count: 0 };
    this.#users.set(path, user);
    user.count++;
    const leave = (): void => {
      if (--user.count === 0) this.#users.delete(path);
    };
    try {
      const place = await user.turn.enter(signal);
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await this.#scratch.ensure(path);
      return {
        path,
        [Symbol.dispose]: () => {
          place[Symbol.dispose]();
          leave();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Removes the disks that nobody uses. */
  async prune(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (!this.#users.has(path)) await rm(path, { force: true });
    }
  }

  /** Bytes that they take on the host's disk. */
  async usageBytes(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#directory))
      bytes += (await stat(join(this.#directory, name))).blocks * 512;
    return bytes;
  }
}
