import type { OutputStream } from '../guest/index.ts';

const STREAM_IDS: Readonly<Record<OutputStream, number>> = { stdout: 1, stderr: 2 };
export const STDCOPY_HEADER_BYTES = 8;

/**
 * The header of one frame of Docker's multiplexed stream: stream id, three zero bytes, payload length as a
 * big-endian 32-bit number (Docker Engine API, "Attach to a container", stream format).
 */
export function stdcopyHeader(stream: OutputStream, payloadBytes: number): Buffer {
  const header = Buffer.alloc(STDCOPY_HEADER_BYTES);
  header.writeUInt8(STREAM_IDS[stream], 0);
  header.writeUInt32BE(payloadBytes, 4);
  return header;
}

/** A whole frame. */
export function stdcopyFrame(stream: OutputStream, payload: Uint8Array): Buffer {
  return Buffer.concat([stdcopyHeader(stream, payload.length), payload]);
}
