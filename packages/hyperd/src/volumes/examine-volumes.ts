import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ailment, entriesOf } from '../upkeep/index.ts';
import type { Volume } from './named-volumes.ts';

/** Volumes without a directory, and directories without a volume, which may be all that is left of somebody's data. */
export async function examineVolumes(directory: string, volumes: readonly Volume[]): Promise<Ailment[]> {
  const found: Ailment[] = [];
  for (const { name, path } of volumes) {
    if (await isDirectory(path)) continue;
    found.push({
      problem: `volume ${name} has lost its directory ${path}, and what was in it`,
      remedy: 'an empty one is made',
      mend: async () => void (await mkdir(path, { recursive: true, mode: 0o755 })),
    });
  }
  const names = new Set(volumes.map(({ name }) => name));
  for (const name of await entriesOf(directory)) {
    if (names.has(name) || name.startsWith('.')) continue;
    found.push({
      problem: `nothing is known of the volume in ${join(directory, name)}`,
      remedy: `look at what is in it; "hyperctl volume create ${name}" takes it up again, "rm -r" removes it`,
      isNote: true,
    });
  }
  return found;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
