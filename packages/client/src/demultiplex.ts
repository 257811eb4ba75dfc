/** A piece of a process's output. With a terminal everything is `stdout`. */
export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

const HEADER_BYTES = 8;
const STDERR = 2;

/**
 * Takes Docker's multiplexed stream apart: frames of a header (stream id, three zero bytes, 32-bit big-endian length) and their payload.
 * Payloads are passed on as they come in. Throws when the stream ends within a frame or holds an unknown stream id.
 */
export async function* demultiplex(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  let header = Buffer.alloc(0);
  let stream: OutputChunk['stream'] = 'stdout';
  let missing = 0;
  for await (const chunk of source) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      if (missing > 0) {
        const bytes = rest.subarray(0, missing);
        missing -= bytes.length;
        rest = rest.subarray(bytes.length);
        yield { stream, bytes };
        continue;
      }
      const taken = rest.subarray(0, HEADER_BYTES - header.length);
      header = Buffer.concat([header, taken]);
      rest = rest.subarray(taken.length);
      if (header.length < HEADER_BYTES) continue;
      const id = header.readUInt8(0);
      if (id > STDERR) throw new Error(`read output: stream id ${id} is not known`);
      stream = id === STDERR ? 'stderr' : 'stdout';
      missing = header.readUInt32BE(4);
      header = Buffer.alloc(0);
    }
  }
  if (missing > 0 || header.length > 0) throw new Error('read output: the stream ended within a frame');
}

/** A raw stream, as output of one kind. */
export async function* undivided(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  for await (const bytes of source) yield { stream: 'stdout', bytes };
}
