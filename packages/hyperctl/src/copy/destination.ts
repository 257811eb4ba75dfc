import type { Stats } from 'node:fs';
import { link, lstat, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Parents that are known to be directories are looked at once; this many are remembered. */
const MAX_KNOWN = 10_000;

/**
 * A directory of this host that an archive from a container is unpacked into. The archive is hostile: nothing is written through a symbolic link, be it
 * the archive's own or one that an earlier copy has left, and nothing outside of the directory.
 */
export class Destination {
  readonly #root: string;
  readonly #known = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** The path that an entry's parts stand for, whose parents are directories below the root, created where they are missing. */
  async place(parts: readonly string[]): Promise<string> {
    let path = this.#root;
    for (const part of parts.slice(0, -1)) {
      path = join(path, part);
      if (this.#known.has(path)) continue;
      const found = await statOf(path);
      if (!found) await mkdir(path);
      else if (!found.isDirectory()) throw refused(path, found);
      if (this.#known.size >= MAX_KNOWN) this.#known.clear();
      this.#known.add(path);
    }
    return parts.length === 0 ? this.#root : join(path, parts.at(-1) ?? '');
  }

  /** As `place`, with a directory there; `mode` is that of a new one. */
  async directory(parts: readonly string[], mode: number): Promise<string> {
    const path = await this.place(parts);
    const found = parts.length === 0 ? undefined : await statOf(path);
    if (found && !found.isDirectory()) throw refused(path, found);
    if (parts.length > 0 && !found) await mkdir(path, { mode });
    return path;
  }

  /** As `place`, with nothing there; an existing directory is never replaced. */
  async vacant(parts: readonly string[]): Promise<string> {
    const path = await this.place(parts);
    const found = parts.length === 0 ? undefined : await statOf(path);
    if (parts.length === 0 || found?.isDirectory())
      throw new Error(`unpack "${path}": there is a directory in place of what the archive has`);
    if (found) await rm(path);
    return path;
  }

  /** A hard link to a file that is in the destination already. */
  async link(parts: readonly string[], target: readonly string[]): Promise<string> {
    const from = await this.place(target);
    const found = await statOf(from);
    if (!found?.isFile())
      throw new Error(
        `unpack "${join(...parts)}": it is a link to "${join(...target)}", which is no file here`,
      );
    const path = await this.vacant(parts);
    await link(from, path);
    return path;
  }

  async symlink(parts: readonly string[], target: string): Promise<string> {
    const path = await this.vacant(parts);
    await symlink(target, path);
    return path;
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function refused(path: string, found: Stats): Error {
  const what = found.isSymbolicLink() ? 'a symbolic link, which is not followed' : 'no directory';
  return new Error(`unpack below "${path}": it is ${what}`);
}
