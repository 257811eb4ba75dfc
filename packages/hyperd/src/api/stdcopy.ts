import type { OutputStream } from '../guest/index.ts';
import type { ProcessEnd } from './call.ts';

const STREAM_IDS: Readonly<Record<OutputStream, number>> = { stdout: 1, stderr: 2 };
/** Ours: Docker's has 0 to 3. */
const END_STREAM_ID = 4;
export const STDCOPY_HEADER_BYTES = 8;

/**
 * The header of one frame of Docker's multiplexed stream: stream id, three zero bytes, payload length as a
 * big-endian 32-bit number (Docker Engine API, "Attach to a container", stream format).
 */
export function stdcopyHeader(stream: OutputStream, payloadBytes: number): Buffer {
  return headerOf(STREAM_IDS[stream], payloadBytes);
}

/** A whole frame. */
export function stdcopyFrame(stream: OutputStream, payload: Uint8Array): Buffer {
  return Buffer.concat([stdcopyHeader(stream, payload.length), payload]);
}

/** The last frame of a session that tells its process's end: stream id 4, the exit code in decimal, and after a space why it could not be run. */
export function endFrame({ exitCode, message }: ProcessEnd): Buffer {
  const text = Buffer.from(message === undefined ? String(exitCode) : `${exitCode} ${message}`);
  return Buffer.concat([headerOf(END_STREAM_ID, text.length), text]);
}

function headerOf(streamId: number, payloadBytes: number): Buffer {
  const header = Buffer.alloc(STDCOPY_HEADER_BYTES);
  header.writeUInt8(streamId, 0);
  header.writeUInt32BE(payloadBytes, 4);
  return header;
}
