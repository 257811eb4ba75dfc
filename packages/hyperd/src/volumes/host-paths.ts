import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { HyperError } from '../errors.ts';

export interface HostPath {
  /** Absolute, free of symbolic links when it was looked at: whoever uses it refuses one that has become a link. */
  readonly path: string;
  readonly kind: 'directory' | 'file';
  /** The same for two paths to one file. */
  readonly identity: string;
}

/** What of the host volumes may come from. */
export class HostPaths {
  readonly #roots: readonly string[];

  /** `roots`: nothing outside of these directories is given to a pod. */
  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /**
   * What `source` is, links followed. `what` begins the error. Throws `invalid-spec` where it is no directory or file, does not exist, or leads out of
   * the allowed directories.
   */
  async resolve(source: string, what: string): Promise<HostPath> {
    const refuse = (why: string): never => {
      throw new HyperError('invalid-spec', `${what}: source "${source}" ${why}`);
    };
    if (!isAbsolute(source) || source.includes('\0')) refuse('is not an absolute path');
    const path = await realpath(source).catch((error: NodeJS.ErrnoException) => refuse(reason(error)));
    await this.#requireAllowed(path, refuse);
    // As a path only: neither a device nor a pipe is opened.
    const file = await open(path, O_PATH | constants.O_NOFOLLOW).catch((error: NodeJS.ErrnoException) =>
      refuse(reason(error)),
    );
    try {
      const status = await file.stat();
      const identity = `${status.dev}:${status.ino}`;
      if (status.isDirectory()) return { path, kind: 'directory', identity };
      if (status.isFile()) return { path, kind: 'file', identity };
      return refuse('is neither a directory nor a regular file');
    } finally {
      await file.close();
    }
  }

  async #requireAllowed(path: string, refuse: (why: string) => never): Promise<void> {
    for (const root of this.#roots) {
      const real = await realpath(root).catch(() => undefined); // a root that is not there allows nothing
      if (real === undefined) continue;
      if (path === real || path.startsWith(real.endsWith('/') ? real : `${real}/`)) return;
    }
    const where = this.#roots.join(', ');
    refuse(`is ${path}, outside of the directories that volumes may come from (${where})`);
  }
}

const O_PATH = 0o10_000_000;

/** In words that no client takes for a missing image. */
function reason({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'does not exist on the host';
    case 'EACCES':
      return 'cannot be read by hyperd';
    case 'ELOOP':
      return 'goes round in circles';
    default:
      return `cannot be used: ${message}`;
  }
}
