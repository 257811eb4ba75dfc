import {
  closeSync,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { Readable } from 'node:stream';
import type { IgnorePatterns } from '../../../hyperd/src/build/files/ignore-patterns.ts';
import { TAR_END, tarHeader, tarPadding } from '../../../hyperd/src/tar/tar-writer.ts';

const READ_BYTES = 1 << 18;

export interface ContextFile {
  /** Relative, its names parted by slashes. */
  readonly name: string;
  readonly content: Buffer;
}

export interface PackOptions {
  readonly ignore: IgnorePatterns | undefined;
  /** Sent whatever the patterns say: the Dockerfile and the ignore file itself. */
  readonly always: ReadonlySet<string>;
  /** Files that the directory does not have. */
  readonly extra: readonly ContextFile[];
}

/**
 * Packs a directory as a build context: a tar, entries in the order of their names, so that the same files give the same bytes. Ignored directories are not
 * looked into, unless an exception may lie in them. Without a directory only the extra files are packed. Sockets and devices are left out.
 */
export function packContext(directory: string | undefined, options: PackOptions): Readable {
  return Readable.from(inLargePieces(entries(directory, options)), { objectMode: false });
}

/** A request's body costs by its pieces more than by its bytes. */
function* inLargePieces(source: Iterable<Buffer>): Generator<Buffer> {
  let parts: Buffer[] = [];
  let sizeBytes = 0;
  for (const part of source) {
    parts.push(part);
    sizeBytes += part.length;
    if (sizeBytes < READ_BYTES) continue;
    yield Buffer.concat(parts, sizeBytes);
    parts = [];
    sizeBytes = 0;
  }
  yield Buffer.concat(parts, sizeBytes);
}

/** Files are read in place: there is nothing else to do meanwhile, and thousands of small ones are read in a fraction of the time. */
function* entries(directory: string | undefined, options: PackOptions): Generator<Buffer> {
  if (directory !== undefined) yield* packDirectory(Buffer.from(directory), '', options);
  for (const { name, content } of options.extra) {
    yield header(latin1(name), { mode: 0o644, mtimeMs: 0 }, 'file', content.length);
    yield content;
    yield tarPadding(content.length);
  }
  yield TAR_END;
}

/** `below`: names as bytes in latin1, as tar headers take them. */
function* packDirectory(path: Buffer, below: string, options: PackOptions): Generator<Buffer> {
  const { ignore, always } = options;
  const children = readdirSync(path, { withFileTypes: true, encoding: 'latin1' as BufferEncoding });
  children.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const child of children as Dirent[]) {
    const name = below === '' ? child.name : `${below}/${child.name}`;
    const text = Buffer.from(name, 'latin1').toString('utf8');
    const isIgnored = (ignore?.ignores(text) ?? false) && !always.has(text);
    const leadsToKept =
      child.isDirectory() &&
      (ignore?.hasExceptions || [...always].some((kept) => kept.startsWith(`${text}/`)));
    if (isIgnored && !leadsToKept) continue;
    const childPath = Buffer.concat([path, Buffer.from('/'), Buffer.from(child.name, 'latin1')]);
    if (!isIgnored) yield* packEntry(childPath, name, lstatSync(childPath));
    if (child.isDirectory()) yield* packDirectory(childPath, name, options);
  }
}

function* packEntry(path: Buffer, name: string, status: Stats): Generator<Buffer> {
  if (status.isDirectory()) yield header(`${name}/`, status, 'directory');
  else if (status.isSymbolicLink())
    yield header(name, status, 'symlink', 0, readlinkSync(path, 'buffer').toString('latin1'));
  else if (status.isFIFO()) yield header(name, status, 'fifo');
  else if (status.isFile()) yield* packFile(path, name);
}

/** As long as it was when it was opened, whatever happens to it meanwhile. */
function* packFile(path: Buffer, name: string): Generator<Buffer> {
  const file = openSync(path, 'r');
  try {
    const status = fstatSync(file);
    yield header(name, status, 'file', status.size);
    for (let left = status.size; left > 0; ) {
      const buffer = Buffer.allocUnsafe(Math.min(left, READ_BYTES));
      const bytesRead = readSync(file, buffer, 0, buffer.length, status.size - left);
      const part = bytesRead === 0 ? buffer.fill(0) : buffer.subarray(0, bytesRead);
      yield part;
      left -= part.length;
    }
    yield tarPadding(status.size);
  } finally {
    closeSync(file);
  }
}

function header(
  name: string,
  { mode, mtimeMs }: Pick<Stats, 'mode' | 'mtimeMs'>,
  type: 'file' | 'directory' | 'symlink' | 'fifo',
  sizeBytes = 0,
  linkName = '',
): Buffer {
  return tarHeader({
    ...{
      name,
      type,
      mode: mode & 0o7777,
      uid: 0,
      gid: 0,
      sizeBytes,
      mtime: Math.max(0, Math.floor(mtimeMs / 1000)),
      linkName,
    },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
  });
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
