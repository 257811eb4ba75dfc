import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import type { StreamOffsets } from '../pod-records.ts';
import { decodeEntry } from './entry.ts';

/** More than an entry can have, however its bytes are written. */
const TAIL_BYTES = 512 * 1024;

/**
 * What a log holds of each stream, over all runs: what its last whole entry says. A last line that a crash has cut is taken off the file.
 */
export function recoverLog(path: string, maxFiles: number): StreamOffsets {
  for (let number = 0; number < maxFiles; number++) {
    const found = lastEnds(number === 0 ? path : `${path}.${number}`, number === 0);
    if (found) return found;
  }
  return { stdout: 0, stderr: 0 };
}

/** Of the last whole entry in the file's last part; `cut`: what is behind its last line feed goes. */
function lastEnds(path: string, cut: boolean): StreamOffsets | undefined {
  let fd: number;
  try {
    fd = openSync(path, cut ? 'r+' : 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const start = Math.max(0, size - TAIL_BYTES);
    const tail = Buffer.alloc(size - start);
    const bytes = tail.subarray(0, readSync(fd, tail, 0, tail.length, start));
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (cut && end < bytes.length) ftruncateSync(fd, start + end);
    const lines = bytes.toString('utf8', 0, end).split('\n').reverse();
    for (const line of lines) {
      const entry = line === '' ? undefined : decodeEntry(line);
      if (entry) return entry.ends;
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}
