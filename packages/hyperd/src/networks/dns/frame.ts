import type { Readable } from 'node:stream';

/** A message as TCP carries it: with its length in front (RFC 1035, 4.2.2). */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Splits what TCP brings into messages. */
export async function* frames(stream: Readable): AsyncGenerator<Buffer> {
  let pending = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = Buffer.concat([pending, chunk as Buffer]); // at most one message and one chunk
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0);
      yield pending.subarray(2, end);
      pending = pending.subarray(end);
    }
  }
}

/** The first message. Rejects where the stream ends before. */
export async function readFrame(stream: Readable): Promise<Buffer> {
  for await (const message of frames(stream)) return message;
  throw new Error('the connection has ended without an answer');
}
