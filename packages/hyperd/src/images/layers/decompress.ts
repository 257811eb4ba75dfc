import { spawn } from 'node:child_process';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { HyperError, messageOf } from '../../errors.ts';

/** Bytes that tell every known compression. */
const MAGIC_BYTES = 6;
const CHUNK_BYTES = 1 << 18;

/**
 * The plain bytes of data that may be compressed: gzip, zstd, xz or bzip2, told by the first bytes and not by a media type, which may lie.
 * Throws `corrupt` for damaged data, naming `what`, and whatever `source` throws.
 */
export async function* uncompressed(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Buffer> {
  const { compression, bytes } = await compressionOf(source);
  if (compression === undefined) {
    yield* bytes;
    return;
  }
  let sourceError: unknown;
  const input = Readable.from(
    (async function* () {
      try {
        yield* bytes;
      } catch (error) {
        sourceError = error;
        throw error;
      }
    })(),
  );
  try {
    yield* DECOMPRESSORS[compression](input);
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    const code = error instanceof HyperError ? error.code : 'corrupt';
    throw new HyperError(code, `unpack ${what}: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
  }
}

export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2';

const DECOMPRESSORS: Readonly<Record<Compression, (input: Readable) => AsyncIterable<Buffer>>> = {
  gzip: (input) => throughStream(input, createGunzip({ chunkSize: CHUNK_BYTES })),
  zstd: (input) => throughStream(input, createZstdDecompress({ chunkSize: CHUNK_BYTES })),
  xz: (input) => throughProgram(input, 'xz', ['-dc', '--memlimit=256MiB']),
  bzip2: (input) => throughProgram(input, 'bzip2', ['-dc']),
};

/** How a stream is compressed, and the stream's bytes, all of them. undefined: not at all. */
export async function compressionOf(source: AsyncIterable<Uint8Array>): Promise<{
  readonly compression: Compression | undefined;
  readonly start: Buffer;
  readonly bytes: AsyncGenerator<Buffer>;
}> {
  const iterator = source[Symbol.asyncIterator]();
  const start = await firstBytes(iterator);
  return { compression: compressionOfBytes(start), start, bytes: chain(start, iterator) };
}

/** Told by the first six bytes. */
export function compressionOfBytes(start: Buffer): Compression | undefined {
  if (start.length >= 2 && start.readUInt16BE(0) === 0x1f8b) return 'gzip';
  if (start.length >= 4 && isZstd(start.readUInt32LE(0))) return 'zstd';
  if (start.toString('latin1', 0, 6) === '\xfd7zXZ\0') return 'xz';
  return start.toString('latin1', 0, 3) === 'BZh' ? 'bzip2' : undefined;
}

/** A frame, or a skippable frame, which zstd:chunked has. */
function isZstd(magic: number): boolean {
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
}

async function* throughStream(input: Readable, stream: Transform): AsyncGenerator<Buffer> {
  // What fails is told by reading the stream; it may end before its input does, where something follows the compressed data.
  pipeline(input, stream).catch(() => undefined);
  try {
    yield* stream as AsyncIterable<Buffer>;
  } finally {
    stream.destroy();
  }
}

async function* throughProgram(
  input: Readable,
  name: string,
  args: readonly string[],
): AsyncGenerator<Buffer> {
  const child = spawn(name, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 1000) said += chunk.toString('latin1');
  });
  const ended = new Promise<HyperError | undefined>((resolve) => {
    child.once('error', (error) => resolve(new HyperError('internal', `run ${name}: ${error.message}`)));
    child.once('close', (code) =>
      resolve(
        code === 0
          ? undefined
          : new HyperError('corrupt', `${name}: ${said.trim() || `it ended with ${code}`}`),
      ),
    );
  });
  pipeline(input, child.stdin).catch(() => undefined); // the program's own error says more
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const error = await ended;
    if (error) throw error;
  } finally {
    child.kill('SIGKILL');
  }
}

async function firstBytes(iterator: AsyncIterator<Uint8Array>): Promise<Buffer> {
  let start = Buffer.alloc(0);
  while (start.length < MAGIC_BYTES) {
    const { done, value } = await iterator.next();
    if (done) break;
    start = Buffer.concat([start, value]);
  }
  return start;
}

async function* chain(start: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Buffer> {
  if (start.length > 0) yield start;
  try {
    for (let next = await rest.next(); !next.done; next = await rest.next()) {
      const { buffer, byteOffset, length } = next.value;
      yield Buffer.from(buffer, byteOffset, length);
    }
  } finally {
    await rest.return?.();
  }
}
