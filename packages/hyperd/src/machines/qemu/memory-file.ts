import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../../errors.ts';

const O_TMPFILE = 0o20_000_000 | constants.O_DIRECTORY;
const SHARED_MEMORY = '/dev/shm';
const PAGE_BYTES = 4096;
const PIECE_BYTES = 1 << 20;
const EXTENTS = 'extents.json';

/** Pages of a template's memory that hold something: [first byte, bytes]. */
type Extent = readonly [number, number];

/** Writes beside a template's memory which parts of it are not zero, so that a copy need not read the others. */
export async function recordExtents(template: string): Promise<void> {
  const extents: [number, number][] = [];
  const zeros = Buffer.alloc(PAGE_BYTES);
  const piece = Buffer.alloc(PIECE_BYTES);
  await using memory = await open(join(template, 'memory'), 'r');
  for (let at = 0; ; ) {
    const { bytesRead } = await memory.read(piece, 0, PIECE_BYTES, at);
    if (bytesRead === 0) break;
    for (let page = 0; page < bytesRead; page += PAGE_BYTES) {
      if (piece.compare(zeros, 0, PAGE_BYTES, page, page + PAGE_BYTES) === 0) continue;
      const last = extents.at(-1);
      if (last && last[0] + last[1] === at + page) last[1] += PAGE_BYTES;
      else extents.push([at + page, PAGE_BYTES]);
    }
    at += bytesRead;
  }
  await writeFile(join(template, EXTENTS), JSON.stringify(extents));
}

/** Copies a template's memory into an empty file. */
export async function copyMemory(template: string, to: FileHandle): Promise<void> {
  const extents = JSON.parse(await readFile(join(template, EXTENTS), 'utf8')) as Extent[];
  await using memory = await open(join(template, 'memory'), 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (const [start, bytes] of extents) {
    for (let at = start; at < start + bytes; ) {
      const { bytesRead } = await memory.read(piece, 0, Math.min(PIECE_BYTES, start + bytes - at), at);
      if (bytesRead === 0)
        throw new HyperError('corrupt', `copy memory of template ${template}: it is cut off`);
      await to.write(piece, 0, bytesRead, at);
      at += bytesRead;
    }
  }
}

/**
 * A file without a name for a machine's memory: in shared memory where that has room even if this machine and others (`elsewhereBytes`) come to
 * use all of theirs, else in `directory`. Whoever opens it closes it; the machine has it for itself by then.
 */
export async function openMemoryFile(
  directory: string,
  sizeBytes: number,
  elsewhereBytes: number,
): Promise<FileHandle> {
  const file = await openNameless((await hasRoom(sizeBytes + elsewhereBytes)) ? SHARED_MEMORY : directory);
  try {
    await file.truncate(sizeBytes);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function hasRoom(bytes: number): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(SHARED_MEMORY);
    return bavail * bsize >= bytes;
  } catch {
    return false; // a host without it
  }
}

/** Not every file system has files that never had a name. */
async function openNameless(directory: string): Promise<FileHandle> {
  try {
    return await open(directory, constants.O_RDWR | O_TMPFILE, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EOPNOTSUPP' && code !== 'EISDIR') throw error;
  }
  const path = join(directory, 'memory');
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
}
