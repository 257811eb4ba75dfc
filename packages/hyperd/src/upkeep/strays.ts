import { readdir, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ailment } from './ailment.ts';

/** What is worked on may be without an owner for a moment: only what has stood still for so long is a stray. */
const STILL_MS = 10 * 60_000;

/** Entries of a directory; none where it is not there. */
export async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Files that somebody began and nobody finished: of those in the directory that `isDraft`, all that no longer change. */
export async function leftDrafts(directory: string, isDraft: (name: string) => boolean): Promise<Ailment[]> {
  const open = await openFiles();
  const found: Ailment[] = [];
  for (const name of (await entriesOf(directory)).filter(isDraft)) {
    const path = join(directory, name);
    const changedAt = await changed(path);
    if (changedAt === undefined || Date.now() - changedAt < STILL_MS || open.has(path)) continue;
    found.push({
      problem: `the temporary file ${path} was left half-made`,
      remedy: 'it is removed',
      mend: () => rm(path, { recursive: true, force: true }),
    });
  }
  return found;
}

/** Whether the path has not been changed for so long that nobody works on it; false where it is gone. */
export async function standsStill(path: string): Promise<boolean> {
  const changedAt = await changed(path);
  return changedAt !== undefined && Date.now() - changedAt >= STILL_MS;
}

async function changed(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What this process has open. */
async function openFiles(): Promise<ReadonlySet<string>> {
  const links = (await readdir('/proc/self/fd')).map(
    (fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''), // closed meanwhile
  );
  return new Set(await Promise.all(links));
}
