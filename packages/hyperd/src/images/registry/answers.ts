import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '../../errors.ts';
import { parseChallenges } from './challenges.ts';
import { Failure, type Retry } from './failure.ts';

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_TEXT = 300;
const MAX_ERRORS = 3;

/** One answer; its body is read to the end or discarded. Reading rejects with Failure. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where it came from, after redirects. */
  readonly url: URL;
  readonly body: AsyncIterable<Uint8Array>;
  /** Gives the connection back, or closes it where much is left of the body. */
  discard(): Promise<void>;
}

/** The first value of a header. */
export function header({ headers }: Answer, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The whole body. Rejects `limit`. */
export async function collect(answer: Answer, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw new Failure('limit', `the answer has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What an answer says that is none of the wanted ones: the status and the registry's own words (distribution-spec, error codes). */
export async function refusal(answer: Answer): Promise<Failure> {
  const { status, url } = answer;
  const words = await errorsOf(answer);
  const message = `${url.host} answers ${status}${words && `: ${words}`}`;
  const retry = retryOf(answer);
  return new Failure(codeOf(answer), message, { retry });
}

/** `text` fit for a message: no control or direction characters, bounded. */
export function printable(text: string, maxLength: number = MAX_TEXT): string {
  const clean = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return clean.length > maxLength ? `${clean.slice(0, maxLength)}…` : clean;
}

/** ms that a Retry-After header asks for: seconds or a date (RFC 9110, section 10.2.3). */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const dateMs = Date.parse(value);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

function codeOf(answer: Answer): ErrorCode {
  const { status, headers } = answer;
  if (status === 404) return 'not-found';
  if (status === 403) return 'forbidden';
  if (status !== 401) return 'unavailable';
  const denied = parseChallenges(headers['www-authenticate']).some(
    ({ parameters }) => parameters.get('error') === 'insufficient_scope',
  );
  return denied ? 'forbidden' : 'unauthorized';
}

function retryOf(answer: Answer): Retry {
  const { status } = answer;
  if (status !== 408 && status !== 425 && status !== 429 && status < 500) return 'never';
  if (status === 501 || status === 505) return 'never';
  const afterMs = parseRetryAfter(header(answer, 'retry-after'), Date.now());
  return afterMs === undefined ? 'soon' : { afterMs };
}

async function errorsOf(answer: Answer): Promise<string> {
  let body: Buffer;
  try {
    body = await collect(answer, MAX_ERROR_BYTES);
  } catch (error) {
    if (error instanceof Failure) return ''; // the status alone has to do
    throw error;
  }
  return describeErrors(body);
}

/** The words of `{"errors": [{"code", "message"}]}`; of a short text otherwise; empty where there are none. */
export function describeErrors(body: Buffer): string {
  const text = body.toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return /^\s*</.test(text) ? '' : printable(text); // pages of HTML help nobody
  }
  const { errors, message, details } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(errors)) return [message, details].map(asText).find((words) => words !== '') ?? '';
  return printable(
    errors
      .slice(0, MAX_ERRORS)
      .map((error) => {
        const { code, message } = (error ?? {}) as Record<string, unknown>;
        return [asText(code), asText(message)].filter((words) => words !== '').join(': ');
      })
      .filter((words) => words !== '')
      .join('; '),
  );
}

function asText(value: unknown): string {
  return typeof value === 'string' ? printable(value) : '';
}
