import { isUtf8 } from 'node:buffer';
import type { OutputStream } from '../../guest/index.ts';
import type { StreamOffsets } from '../pod-records.ts';

/**
 * One entry of a container's log: a line of Docker's json-file driver, with two members more. `ends` are the offsets that both streams have come to with
 * it, which is how a daemon that comes back knows where to resume; `raw` holds the exact bytes (base64) where they are no UTF-8.
 */
export interface LogEntry {
  readonly stream: OutputStream;
  /** RFC 3339, UTC, nine digits of the second. */
  readonly time: string;
  readonly bytes: Buffer;
  readonly ends: StreamOffsets;
}

/** The entry as a line of the file, line feed included. `attributes`: what `attributesText` gave, or nothing. */
export function encodeEntry({ stream, time, bytes, ends }: LogEntry, attributes = ''): string {
  const raw = isUtf8(bytes) ? '' : `,"raw":"${bytes.toString('base64')}"`;
  return entryText(bytes.toString(), raw + attributes, { stream, time, ends });
}

/** As `encodeEntry`, for bytes that are known to be ASCII, given as text. */
export function encodeAscii(text: string, entry: Omit<LogEntry, 'bytes'>, attributes = ''): string {
  return entryText(text, attributes, entry);
}

const LONG_RUN = '\0'.repeat(32);
const LONG_RUNS = /\0{32,}/g;

/** `text` as JSON. Long runs of zero bytes, which are six characters each there, are written by the run: a third of the time. */
function quoted(text: string): string {
  if (!text.includes(LONG_RUN)) return JSON.stringify(text);
  let json = '';
  let at = 0;
  for (const { index, 0: run } of text.matchAll(LONG_RUNS)) {
    json += JSON.stringify(text.slice(at, index)).slice(1, -1) + '\\u0000'.repeat(run.length);
    at = index + run.length;
  }
  return `"${json}${JSON.stringify(text.slice(at)).slice(1, -1)}"`;
}

function entryText(log: string, more: string, { stream, time, ends }: Omit<LogEntry, 'bytes'>): string {
  return `{"log":${quoted(log)},"stream":"${stream}","time":"${time}","ends":[${ends.stdout},${ends.stderr}]${more}}\n`;
}

/** What every entry of a log says besides: Docker's `attrs`. */
export function attributesText(attributes: Readonly<Record<string, string>>): string {
  return Object.keys(attributes).length === 0 ? '' : `,"attrs":${JSON.stringify(attributes)}`;
}

/** The entry in a line of the file; undefined for a line that is damaged or cut. */
export function decodeEntry(line: string): LogEntry | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined; // cut by a crash
  }
  const { log, stream, time, ends, raw } = value ?? {};
  if (typeof log !== 'string' || typeof time !== 'string' || !Array.isArray(ends)) return undefined;
  const [stdout, stderr] = ends as unknown[];
  if (typeof stdout !== 'number' || typeof stderr !== 'number') return undefined;
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const bytes = typeof raw === 'string' ? Buffer.from(raw, 'base64') : Buffer.from(log);
  return { stream, time, bytes, ends: { stdout, stderr } };
}

/** Now, with the nine digits that log entries carry. */
export function timestamp(): string {
  const ns = process.hrtime.bigint() % 1_000_000n;
  return new Date().toISOString().replace('Z', `${String(ns).padStart(6, '0')}Z`);
}
