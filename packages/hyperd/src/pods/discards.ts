import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from '../logger.ts';

/**
 * Deletes directories behind everybody's back, one after the other: to free what a pod has written takes longer than to end the pod. They are out of sight at
 * once, under a name that no pod can have; what a daemon leaves of them, the next one removes with all other directories of no pod.
 */
export class Discards {
  readonly #logger: Logger;
  #last: Promise<void> = Promise.resolve();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Resolves when `path` is not there any more. Rejects where it can be neither renamed nor deleted. */
  async discard(path: string): Promise<void> {
    const aside = join(dirname(path), `.removed-${basename(path)}-${randomBytes(4).toString('hex')}`);
    try {
      await rename(path, aside);
    } catch {
      await rm(path, { recursive: true, force: true }); // it is not there, or the disk has no room for a name
      return;
    }
    this.#last = this.#last.then(() => this.#delete(aside));
  }

  /** Resolves when nothing is being deleted any more. */
  async settle(): Promise<void> {
    await this.#last;
  }

  async #delete(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      this.#logger.warn({ path, err: error }, 'delete what is left of a removed pod');
    }
  }
}
