/** A piece of a process's output. With a terminal everything is `stdout`. */
export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

/** How a session's process ended. */
export interface ProcessEnd {
  readonly exitCode: number;
  /** Why it could not be run. */
  readonly message?: string;
}

/** What a stream tells besides output. */
export interface StreamNews {
  started?(): void;
  ended?(end: ProcessEnd): void;
}

const HEADER_BYTES = 8;
const STDERR = 2;
const END = 4;
const MAX_END_BYTES = 64 * 1024;

/**
 * Takes Docker's multiplexed stream apart: frames of a header (stream id, three zero bytes, 32-bit big-endian length) and their payload.
 * Payloads are passed on as they come in. hyperd's own: a frame without payload says that the process has been started, one of stream 4
 * how it ended. Throws when the stream ends within a frame or holds an unknown stream id.
 */
export async function* demultiplex(
  source: AsyncIterable<Uint8Array>,
  news: StreamNews = {},
): AsyncGenerator<OutputChunk> {
  let header = Buffer.alloc(0);
  let end: Buffer | undefined;
  let stream: OutputChunk['stream'] = 'stdout';
  let missing = 0;
  for await (const chunk of source) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      if (missing > 0) {
        const bytes = rest.subarray(0, missing);
        missing -= bytes.length;
        rest = rest.subarray(bytes.length);
        if (end === undefined) yield { stream, bytes };
        else end = Buffer.concat([end, bytes]);
        if (end && missing === 0) news.ended?.(processEnd(end.toString('utf8')));
        continue;
      }
      const taken = rest.subarray(0, HEADER_BYTES - header.length);
      header = Buffer.concat([header, taken]);
      rest = rest.subarray(taken.length);
      if (header.length < HEADER_BYTES) continue;
      const id = header.readUInt8(0);
      if (id > STDERR && id !== END) throw new Error(`read output: stream id ${id} is not known`);
      stream = id === STDERR ? 'stderr' : 'stdout';
      missing = header.readUInt32BE(4);
      header = Buffer.alloc(0);
      end = id === END ? Buffer.alloc(0) : undefined;
      if (end && missing > MAX_END_BYTES)
        throw new Error(`read output: the process's end has ${missing} bytes`);
      if (missing === 0) news.started?.();
    }
  }
  if (missing > 0 || header.length > 0) throw new Error('read output: the stream ended within a frame');
}

function processEnd(text: string): ProcessEnd {
  const [, code, message] = /^(\d{1,10})(?: (.*))?$/s.exec(text) ?? [];
  if (code === undefined) throw new Error(`read output: "${text.slice(0, 100)}" is no process's end`);
  return { exitCode: Number(code), ...(message === undefined ? {} : { message }) };
}

/** A raw stream, as output of one kind. */
export async function* undivided(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  for await (const bytes of source) yield { stream: 'stdout', bytes };
}
