import { read as readWithCallback } from 'node:fs';
import { promisify } from 'node:util';

const read = promisify(readWithCallback);
const CHUNK_BYTES = 65_536;

export interface FoundLine {
  /** Without its line feed. */
  readonly line: Buffer;
  /** Where in the file it ends, behind its line feed. */
  readonly end: number;
}

/** The whole lines of a file's first `size` bytes, the last one first. Reads no more of it than is asked for. */
export async function* linesBackward(fd: number, size: number): AsyncGenerator<FoundLine> {
  /** What is behind `start`, up to the end of the line that is looked for. */
  let data: Buffer = Buffer.alloc(0);
  let start = size;
  let isWhole = false;
  for (;;) {
    for (let feed = data.lastIndexOf(0x0a); feed >= 0; feed = data.lastIndexOf(0x0a)) {
      const line = data.subarray(feed + 1);
      if (isWhole) yield { line, end: start + data.length + 1 };
      isWhole = true;
      data = data.subarray(0, feed);
    }
    if (start === 0) break;
    const from = Math.max(0, start - CHUNK_BYTES);
    const chunk = Buffer.allocUnsafe(start - from);
    const { bytesRead } = await read(fd, chunk, 0, chunk.length, from);
    data = Buffer.concat([chunk.subarray(0, bytesRead), data]);
    start = from;
  }
  if (isWhole) yield { line: data, end: data.length + 1 };
}
