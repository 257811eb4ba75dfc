import { chmod, chown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Whoever gets into the directory may open a file whose name is known, and not list them. */
const BY_NAME = 0o711;
const FILE_MODE = 0o644;

/** The directories whose files make up machines' disks: of file systems, and of the layers that these name relative to themselves. */
export function diskDirectories(root: string): string[] {
  return ['rootfs', 'layers'].map((part) => join(root, 'images', part));
}

/**
 * Lets the members of a group of the host read images' disks, and nobody else besides the daemon's user; undefined: nobody. Files are made readable once, where
 * an earlier version has made them otherwise.
 */
export async function letRead(root: string, group: number | undefined): Promise<void> {
  for (const directory of diskDirectories(root)) {
    const { mode } = await stat(directory);
    if ((mode & 0o777) === BY_NAME) continue;
    for (const name of await readdir(directory)) await chmod(join(directory, name), FILE_MODE);
    await chmod(directory, BY_NAME); // last: until then all is done again
  }
  const gate = join(root, 'images');
  if (group !== undefined) await chown(gate, -1, group);
  await chmod(gate, group === undefined ? 0o700 : 0o710);
}
