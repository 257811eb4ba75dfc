import { posix } from 'node:path';
import { HyperError, isHyperError } from '../../errors.ts';
import type { DiskCache } from '../../machines/machine.ts';
import { checkVolumeName } from '../../volumes/index.ts';
import type { VolumeFormat, VolumeSpec } from './pod-spec.ts';
import type { ContainerJson, VolumeJson } from './schema.ts';

const FORMATS: readonly VolumeFormat[] = ['raw', 'qcow2', 'vdi', 'vfs', 'rbd', 'nas', 'volume', 'tmpfs'];
const CACHE_MODES: readonly DiskCache[] = [
  'off',
  'none',
  'directsync',
  'writeback',
  'unsafe',
  'writethrough',
];
/** Nothing is mounted over what makes a container one; below /dev only over what is left out here. */
const KERNEL_PATHS = ['/proc', '/sys', '/dev/pts', '/dev/mqueue'];
const MAX_PATH_BYTES = 4000;
const MAX_REFERENCES = 120;
const FSTYPE = /^[a-z0-9]{1,15}$/;
const DEFAULT_MODE = 0o1777;

/** The rules of a volume. Throws `invalid-spec`. */
export function checkVolume(volume: VolumeJson): void {
  const { name = '', source = '', fstype, cache, option } = volume;
  const format = formatOf(volume);
  const at = `volume ${name}`;
  if (format !== '') checkOneOf(format, FORMATS, `${at}: format`);
  if (cache) checkCache(cache, `${at}: cache`);
  if (fstype && !FSTYPE.test(fstype)) refuse(`"${at}: fstype" is "${fstype}", want a name such as ext4`);
  if (source.includes('\0')) refuse(`"${at}: source" has a NUL character`);
  switch (format) {
    case '':
      if (source !== '')
        refuse(`${at}: source "${source}" is given without a format, want one of ${FORMATS.join(', ')}`);
      break;
    case 'tmpfs':
      if (source !== '') refuse(`${at}: a tmpfs has no source, "${source}" is given`);
      sizeOf(option?.size, at);
      modeOf(option?.mode, at);
      return;
    case 'volume':
      checkName(source || name, at);
      break;
    case 'vfs':
    case 'raw':
    case 'qcow2':
    case 'vdi':
      if (source !== '' && !source.startsWith('/'))
        refuse(`${at}: source "${source}" is not an absolute path`);
      break;
  }
  if (option?.size || option?.mode) refuse(`${at}: "option.size" and "option.mode" are for a tmpfs`);
}

/** The rules of a container's volumes. Throws `invalid-spec`. */
export function checkVolumeReferences(
  container: ContainerJson,
  at: string,
  volumes: ReadonlySet<string>,
): void {
  const references = container.volumes ?? [];
  if (references.length > MAX_REFERENCES)
    refuse(`"${at}volumes" has ${references.length} entries, at most ${MAX_REFERENCES} are possible`);
  const paths = new Set<string>();
  for (const [index, { path, volume, detail }] of references.entries()) {
    if (!path) refuse(`"${at}volumes[${index}].path" is missing`);
    const plain = checkMountPath(path, `${at}volumes[${index}].path`);
    if (paths.has(plain)) refuse(`"${at}volumes[${index}].path" is "${path}", where another volume is`);
    paths.add(plain);
    if (detail) checkVolume(detail);
    else if (!volumes.has(volume ?? '')) refuse(`volume ${volume} does not exist in volume list.`);
  }
}

/** The path without what does not matter in it. Throws `invalid-spec` where nothing can be mounted at it. */
export function checkMountPath(path: string, place: string): string {
  const wrong = (why: string): never => refuse(`"${place}" is "${path.slice(0, 200)}", ${why}`);
  if (!path.startsWith('/') || path.includes('\0')) wrong('want an absolute path');
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) wrong(`want at most ${MAX_PATH_BYTES} bytes`);
  const plain = plainPath(path);
  if (!isMountable(plain)) wrong("which is the container's root, or the kernel's");
  return plain;
}

/** Whether a volume may be at this plain path. */
export function isMountable(plain: string): boolean {
  if (plain === '' || plain === '/dev') return false;
  return !KERNEL_PATHS.some((kernel) => plain === kernel || plain.startsWith(`${kernel}/`));
}

/** An absolute path without doubled slashes, dots and a slash at its end; the root is empty. */
export function plainPath(path: string): string {
  return posix.normalize(`/${path}`).replace(/^\/+/, '/').replace(/\/$/, '');
}

/** A checked volume with its defaults. */
export function volumeOf(json: VolumeJson): VolumeSpec {
  const { name = '', source = '', fstype = '', cache = '', option } = json;
  const format = formatOf(json) as VolumeSpec['format'];
  const at = `volume ${name}`;
  return {
    ...{ name, source, fstype, format, cache: cache as VolumeSpec['cache'] },
    ...{ sizeBytes: sizeOf(option?.size, at), mode: modeOf(option?.mode, at) },
  };
}

export function checkCache(cache: string, place: string): void {
  checkOneOf(cache, CACHE_MODES, place);
}

function formatOf({ format, driver }: VolumeJson): string {
  return format || driver || '';
}

function checkName(name: string, at: string): void {
  try {
    checkVolumeName(name);
  } catch (error) {
    if (isHyperError(error)) refuse(`${at}: ${error.message}`);
    throw error;
  }
}

function sizeOf(size: string | undefined, at: string): number {
  if (!size) return 0;
  const [, digits, unit = ''] = /^(\d{1,12})(?:([kmgt])i?b?)?$/i.exec(size) ?? [];
  const bytes = Number(digits) * 1024 ** ' kmgt'.indexOf(unit.toLowerCase() || ' ');
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  return refuse(`"${at}: option.size" is "${size}", want bytes, or such as 64m or 1g`);
}

function modeOf(mode: string | undefined, at: string): number {
  if (!mode) return DEFAULT_MODE;
  if (/^[0-7]{1,5}$/.test(mode)) return Number.parseInt(mode, 8) & 0o7777;
  return refuse(`"${at}: option.mode" is "${mode}", want octal digits`);
}

function checkOneOf(value: string, allowed: readonly string[], place: string): void {
  if (!allowed.includes(value)) refuse(`"${place}" is "${value}", want one of ${allowed.join(', ')}`);
}

function refuse(message: string): never {
  throw new HyperError('invalid-spec', message);
}
