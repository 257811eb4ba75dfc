import { randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { ContainerSpec } from '@hyperd/client';
import type { OptionSpec, Options } from './options.ts';
import { UsageError } from './usage-error.ts';

type VolumeReference = NonNullable<ContainerSpec['volumes']>[number];

export const VOLUME_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'volume',
    short: 'v',
    value: '[SOURCE:]DIR[:ro|rw]',
    repeats: true,
    help: 'mount a directory or file of the host (SOURCE with a slash; a directory is made where it is missing), a named volume, or without SOURCE an empty volume of the pod',
  },
  {
    name: 'tmpfs',
    value: 'DIR[:size=64m,mode=1777]',
    repeats: true,
    help: 'mount a directory that lives in memory, empty at every start (default size: half of the memory)',
  },
];

/** Reads `[SOURCE:]DIR[:ro|rw]`, as Docker does: a source without a slash is the name of a volume. Throws UsageError. */
export function volumeReference(text: string): VolumeReference {
  const parts = text.split(':');
  const mode = ['ro', 'rw'].includes(parts.at(-1) ?? '') && parts.length > 1 ? parts.pop() : 'rw';
  const [path, source] = [parts.pop() ?? '', parts.pop()];
  if (!path.startsWith('/') || parts.length > 0 || source === '') {
    throw new UsageError(`--volume is "${text}", want [SOURCE:]DIR[:ro|rw] with an absolute DIR`);
  }
  const name = nameFor(path);
  return { path, volume: name, readOnly: mode === 'ro', detail: { name, ...sourceOf(source) } };
}

/** Reads `DIR[:size=SIZE,mode=MODE]`. Throws UsageError. */
export function tmpfsReference(text: string): VolumeReference {
  const [path = '', settings, ...rest] = text.split(':');
  const option: Record<string, string> = {};
  for (const setting of settings ? settings.split(',') : []) {
    const [, key, value] = /^(size|mode)=(.+)$/.exec(setting) ?? [];
    if (!key || !value) throw new UsageError(`--tmpfs is "${text}", want DIR[:size=64m,mode=1777]`);
    option[key] = value;
  }
  if (!path.startsWith('/') || rest.length > 0)
    throw new UsageError(`--tmpfs is "${text}", want DIR[:size=64m,mode=1777] with an absolute DIR`);
  const name = nameFor(path);
  return { path, volume: name, detail: { name, format: 'tmpfs', option } };
}

/** Makes the host directories of a command line that are missing, as the original did. Throws UsageError. */
export async function makeHostDirectories(options: Options): Promise<void> {
  for (const { detail } of options.all('volume').map(volumeReference)) {
    if (detail?.format !== 'vfs' || !detail.source) continue;
    await mkdir(detail.source, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error; // a file
    });
  }
}

function sourceOf(source: string | undefined): { source?: string; format?: string } {
  if (source === undefined) return {};
  return source.includes('/') || source === '.' || source === '..'
    ? { source: resolve(source), format: 'vfs' }
    : { source, format: 'volume' };
}

/** The original's names: last part of the path, five digits. */
function nameFor(path: string): string {
  const digits = Array.from({ length: 5 }, () => randomInt(10)).join('');
  return `${basename(path) || 'root'}${digits}`;
}
