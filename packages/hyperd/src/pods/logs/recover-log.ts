import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync } from 'node:fs';
import type { StreamOffsets } from '../pod-records.ts';
import { decodeEntry } from './entry.ts';

const CHUNK_BYTES = 65_536;

/**
 * What a log holds of each stream, over all runs. A last line that a crash has cut is taken off the file. Reads from the end, as far as is needed to find
 * an entry of each stream.
 */
export function recoverLog(path: string, maxFiles: number): StreamOffsets {
  cutTornLine(path);
  const found: { stdout?: number; stderr?: number } = {};
  for (let number = 0; number < maxFiles; number++) {
    const lines = readLines(number === 0 ? path : `${path}.${number}`);
    for (const line of lines.reverse()) {
      const entry = decodeEntry(line);
      if (entry) found[entry.stream] ??= entry.endOffset;
      if (found.stdout !== undefined && found.stderr !== undefined) break;
    }
    if (found.stdout !== undefined && found.stderr !== undefined) break;
  }
  return { stdout: found.stdout ?? 0, stderr: found.stderr ?? 0 };
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function cutTornLine(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const end = endOfLastLine(fd, size);
    if (end < size) ftruncateSync(fd, end);
  } finally {
    closeSync(fd);
  }
}

function endOfLastLine(fd: number, size: number): number {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const bytes = chunk.subarray(0, readSync(fd, chunk, 0, end - start, start));
    const feed = bytes.lastIndexOf(0x0a);
    if (feed >= 0) return start + feed + 1;
    end = start;
  }
  return 0;
}
