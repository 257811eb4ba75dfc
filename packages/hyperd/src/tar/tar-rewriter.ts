import { HyperError } from '../errors.ts';
import { type TarEntry, TarScanner } from './tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from './tar-writer.ts';

export interface RewriteOptions {
  /** What the archive is, for errors. */
  readonly what: string;
  /** Bound on the contents that the headers promise, in bytes. */
  readonly maxBytes: number;
  /** Seconds since the epoch: what is younger gets this time. */
  readonly latestMtime?: number | undefined;
}

/**
 * Writes a tar anew from what it holds: nothing of the source's own bytes is left but names and contents. For archives whose maker is not trusted. Throws
 * `corrupt`, `unsupported`, and `limit` as soon as a header promises too much.
 */
export async function* rewriteTar(
  source: AsyncIterable<Uint8Array>,
  { what, maxBytes, latestMtime = Number.POSITIVE_INFINITY }: RewriteOptions,
): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let [promised, left, size] = [0, 0, 0];
  const scanner = new TarScanner({
    onEntry(entry: TarEntry) {
      promised += entry.sizeBytes;
      if (promised > maxBytes)
        throw new HyperError('limit', `${what}: its files have more than ${maxBytes} bytes together`);
      [left, size] = [entry.sizeBytes, entry.sizeBytes];
      parts.push(tarHeader({ ...entry, mtime: Math.min(entry.mtime, latestMtime) }));
    },
    onData(chunk) {
      left -= chunk.length;
      parts.push(chunk);
      if (left === 0) parts.push(tarPadding(size));
    },
  });
  try {
    for await (const chunk of source) {
      scanner.push(chunk);
      if (parts.length > 0) yield Buffer.concat(parts);
      parts = [];
    }
    scanner.finish();
  } catch (error) {
    if (!(error instanceof HyperError) || error.message.startsWith(what)) throw error;
    throw new HyperError(error.code, `${what}: ${error.message}`, { cause: error });
  }
  yield TAR_END;
}
