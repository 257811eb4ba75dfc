import { once } from 'node:events';

/** The reader of our output has gone (`hyperctl … | head -1`). */
export class BrokenPipeError extends Error {}

const brokenStreams = new WeakSet<NodeJS.WriteStream>();

/** Notes when nobody reads `stream` any more, instead of ending in an uncaught error. */
export function watchForBrokenPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    brokenStreams.add(stream);
  });
}

/** Writes at the reader's pace. Throws BrokenPipeError when it has gone. */
export async function write(stream: NodeJS.WriteStream, chunk: string | Uint8Array): Promise<void> {
  if (brokenStreams.has(stream)) throw new BrokenPipeError();
  if (stream.write(chunk)) return;
  try {
    await once(stream, 'drain');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') throw new BrokenPipeError();
    throw error;
  }
}
