import { crc32 } from 'node:zlib';

/** Frames of the agent protocol; the format is described at the head of guest/agent.proto. */
export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  readonly stream: number;
  readonly offset: number;
  /** Part of the decoder's input: valid until the next `push`. */
  readonly payload: Uint8Array;
}

export const FRAME_CONTROL = 1;
export const FRAME_DATA = 2;
export const FRAME_ACK = 3;
export type FrameType = typeof FRAME_CONTROL | typeof FRAME_DATA | typeof FRAME_ACK;

/** Flag of DATA: the stream ends behind the payload. */
export const FLAG_EOF = 1;
/** Flag of ACK: send again from the offset. */
export const FLAG_RESUME = 1;

export const MAX_PAYLOAD_BYTES = 65_536;
const HEADER_BYTES = 24;
const TRAILER_BYTES = 4;
const MAX_FRAME_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES + TRAILER_BYTES;
const MAGIC = 0x6879;
const EMPTY = new Uint8Array();
const SEARCH_COST_BYTES = 256;

/** Zero bytes that complete whatever frame the other side was in the middle of. */
export const FLUSH: Uint8Array = new Uint8Array(MAX_PAYLOAD_BYTES + HEADER_BYTES + TRAILER_BYTES);

/** One frame as bytes. `payload` is at most MAX_PAYLOAD_BYTES. */
export function encodeFrame(
  type: FrameType,
  { flags = 0, stream = 0, offset = 0 }: { flags?: number; stream?: number; offset?: number },
  payload: Uint8Array = EMPTY,
): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length + TRAILER_BYTES);
  frame.writeUInt16LE(MAGIC, 0);
  frame[2] = type;
  frame[3] = flags;
  frame.writeUInt32LE(stream, 4);
  frame.writeUInt32LE(payload.length, 8);
  frame.writeBigUInt64LE(BigInt(offset), 12);
  const check = checkOf(frame);
  frame.writeUInt32LE(check, 20);
  frame.set(payload, HEADER_BYTES);
  frame.writeUInt32LE(check, HEADER_BYTES + payload.length);
  return frame;
}

function checkOf(header: Uint8Array): number {
  return (crc32(header.subarray(0, 20)) | 1) >>> 0;
}

/** Finds frames in a stream of bytes, skipping what is none. Holds less than one frame of the largest size. */
export class FrameDecoder {
  #buffer: Buffer = Buffer.alloc(0);
  #skippedBytes = 0;

  /** The whole frames that end in `chunk`, in order. */
  *push(chunk: Uint8Array): Generator<Frame> {
    let buffer =
      this.#buffer.length === 0
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
        : Buffer.concat([this.#buffer, chunk]);
    while (buffer.length >= HEADER_BYTES) {
      const length = payloadLength(buffer);
      if (length === undefined) {
        buffer = this.#skip(buffer);
        continue;
      }
      const end = HEADER_BYTES + length;
      if (buffer.length < end + TRAILER_BYTES) break;
      if (buffer.readUInt32LE(end) !== buffer.readUInt32LE(20)) {
        buffer = this.#skip(buffer);
        continue;
      }
      yield {
        type: buffer[2] as FrameType,
        flags: buffer[3] as number,
        stream: buffer.readUInt32LE(4),
        offset: Number(buffer.readBigUInt64LE(12)),
        payload: buffer.subarray(HEADER_BYTES, end),
      };
      buffer = buffer.subarray(end + TRAILER_BYTES);
    }
    // A copy: what is kept must not hold a large chunk in memory.
    this.#buffer = Buffer.from(buffer);
  }

  /** How many bytes were no part of a frame, since the last call. Each search for the next one counts as 256 at least: that is what it costs. */
  takeSkippedBytes(): number {
    const skipped = this.#skippedBytes;
    this.#skippedBytes = 0;
    return skipped;
  }

  #skip(buffer: Buffer): Buffer {
    const rest = skip(buffer);
    this.#skippedBytes += Math.max(buffer.length - rest.length, SEARCH_COST_BYTES);
    return rest;
  }

  /** Bytes that are held back; always below the largest frame's size. */
  get pendingBytes(): number {
    return this.#buffer.length;
  }
}

/** The payload's length of the valid header at the start of `buffer`; undefined where there is none. */
function payloadLength(buffer: Buffer): number | undefined {
  if (buffer.readUInt16LE(0) !== MAGIC) return undefined;
  const type = buffer[2] as number;
  const length = buffer.readUInt32LE(8);
  if (type < FRAME_CONTROL || type > FRAME_ACK || length > MAX_PAYLOAD_BYTES) return undefined;
  return buffer.readUInt32LE(20) === checkOf(buffer) ? length : undefined;
}

/** From the next byte on that may begin a header. */
function skip(buffer: Buffer): Buffer {
  const next = buffer.indexOf(MAGIC & 0xff, 1);
  return buffer.subarray(next < 0 ? buffer.length : next);
}

export const LARGEST_FRAME_BYTES = MAX_FRAME_BYTES;
