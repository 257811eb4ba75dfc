import { isUtf8 } from 'node:buffer';
import type { OutputStream } from '../../guest/index.ts';

/**
 * One entry of a container's log: a line of Docker's json-file driver, with two members more. `offset` is the end of the entry in its stream, which
 * is how a daemon that comes back knows where to resume; `raw` holds the exact bytes (base64) where they are no UTF-8.
 */
export interface LogEntry {
  readonly stream: OutputStream;
  /** RFC 3339, UTC, nine digits of the second. */
  readonly time: string;
  readonly bytes: Buffer;
  readonly endOffset: number;
}

/** The entry as a line of the file, line feed included. */
export function encodeEntry({ stream, time, bytes, endOffset }: LogEntry): string {
  const raw = isUtf8(bytes) ? {} : { raw: bytes.toString('base64') };
  return `${JSON.stringify({ log: bytes.toString(), stream, time, offset: endOffset, ...raw })}\n`;
}

/** The entry in a line of the file; undefined for a line that is damaged or cut. */
export function decodeEntry(line: string): LogEntry | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined; // cut by a crash
  }
  const { log, stream, time, offset, raw } = value;
  if (typeof log !== 'string' || typeof time !== 'string' || typeof offset !== 'number') return undefined;
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const bytes = typeof raw === 'string' ? Buffer.from(raw, 'base64') : Buffer.from(log);
  return { stream, time, bytes, endOffset: offset };
}

/** Now, with the nine digits that log entries carry. */
export function timestamp(): string {
  const ns = process.hrtime.bigint() % 1_000_000n;
  return new Date().toISOString().replace('Z', `${String(ns).padStart(6, '0')}Z`);
}
