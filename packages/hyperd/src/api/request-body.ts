import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { HyperError } from '../errors.ts';

/** A pod specification with its files inside. */
export const JSON_LIMIT_BYTES = 4 * 1024 * 1024;
export const FORM_LIMIT_BYTES = 1024 * 1024;
/** Of a body that is too large this much is read and dropped: a client that still sends would not see the answer. */
const DROP_LIMIT_BYTES = 64 * 1024 * 1024;
/** How long a small body may take to arrive, in ms. */
const BODY_TIMEOUT_MS = 30_000;

/** The whole body as text. Throws `invalid-argument` beyond `limitBytes`, `timeout` when it does not arrive, `canceled` when the client goes. */
export async function readBody(request: Readable, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const timeout = new HyperError('timeout', `read request body: not complete within ${BODY_TIMEOUT_MS} ms`);
  const timer = setTimeout(() => request.destroy(timeout), BODY_TIMEOUT_MS);
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes <= limitBytes) chunks.push(chunk);
      if (sizeBytes > limitBytes + DROP_LIMIT_BYTES) break;
    }
  } catch (error) {
    if (error instanceof HyperError) throw error;
    throw new HyperError('canceled', 'read request body: the client has gone', { cause: error });
  } finally {
    clearTimeout(timer);
  }
  if (sizeBytes > limitBytes) {
    throw new HyperError('invalid-argument', `read request body: more than ${limitBytes} bytes`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The first `sizeBytes` of a streamed body, and what is left of it. Throws `invalid-argument` where it is shorter, `timeout` when that much does not arrive,
 * `canceled` when the client goes.
 */
export async function takeStart(
  body: Readable,
  sizeBytes: number,
): Promise<{ readonly start: Buffer; readonly rest: AsyncIterable<Uint8Array> }> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const timeout = new HyperError('timeout', `read request body: not complete within ${BODY_TIMEOUT_MS} ms`);
  const timer = setTimeout(() => body.destroy(timeout), BODY_TIMEOUT_MS);
  const taken: Buffer[] = [];
  let leftBytes = sizeBytes;
  let after: Buffer = Buffer.alloc(0);
  try {
    while (leftBytes > 0) {
      const { done, value } = await chunks.next();
      if (done)
        throw new HyperError(
          'invalid-argument',
          `read request body: it ends before the first ${sizeBytes} bytes`,
        );
      taken.push(value.subarray(0, leftBytes));
      after = value.subarray(leftBytes);
      leftBytes -= Math.min(leftBytes, value.length);
    }
  } finally {
    clearTimeout(timer);
  }
  return { start: Buffer.concat(taken), rest: restOf(after, chunks) };
}

async function* restOf(first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  yield* { [Symbol.asyncIterator]: () => chunks };
}

/** The media type without its parameters, in lower case; empty when there is none. */
export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').replace(/;.*$/s, '').trim().toLowerCase();
}

/** True when the request says that it has a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/**
 * The JSON body of a call; undefined when there is none. Throws `invalid-spec` (the original's 500) for another content type, unless
 * any will do, and for text that is no JSON.
 */
export async function readJsonBody(
  request: IncomingMessage,
  { anyType }: { readonly anyType: boolean },
): Promise<unknown> {
  if (!hasBody(request)) return undefined;
  if (!anyType && mediaType(request) !== 'application/json') {
    throw new HyperError(
      'invalid-spec',
      `Content-Type specified (${request.headers['content-type'] ?? ''}) must be 'application/json'`,
    );
  }
  const text = await readBody(request, JSON_LIMIT_BYTES);
  return text.trim() === '' ? undefined : parseJson(text, 'request body');
}

/** `text` as JSON. Throws `invalid-spec`, naming `what`. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HyperError('invalid-spec', `read ${what}: not JSON: ${(error as Error).message}`);
  }
}

/**
 * A request's body as a stream that ends without its connection: whoever stops reading early leaves the connection to the answer. Fails
 * `canceled` when the client goes.
 */
export function bodyStream(request: IncomingMessage): Readable {
  const body = new PassThrough();
  const fail = (cause?: unknown): void => {
    if (!request.complete) {
      body.destroy(new HyperError('canceled', 'read request body: the client has gone', { cause }));
    }
  };
  body.on('error', () => undefined); // told to the reader, where there still is one
  request.once('error', fail).once('close', fail);
  return request.pipe(body);
}

/**
 * Keeps the connection of a request with a streamed body open past its answer, also where the client asked to close it: a client that still
 * sends would get a broken pipe in place of the answer. To be called before the answer begins; the function that it returns, when the answer
 * has been given, reads and drops what is left of the body (beyond a bound of bytes or time the connection ends), then closes what the
 * client wanted closed.
 */
export function keepOpenForAnswer(request: IncomingMessage, response: ServerResponse): () => void {
  const { socket } = request;
  const closes = !response.shouldKeepAlive;
  response.shouldKeepAlive = true;
  const finish = (): void => {
    if (closes) socket.end();
  };
  return () => {
    if (request.complete || request.destroyed) finish();
    else dropRest(request, finish);
  };
}

function dropRest(request: IncomingMessage, finish: () => void): void {
  let leftBytes = DROP_LIMIT_BYTES;
  const timer = setTimeout(() => request.destroy(), BODY_TIMEOUT_MS);
  request.once('close', () => clearTimeout(timer));
  request.once('end', finish);
  request.on('error', () => request.destroy()); // the client has gone
  request.on('data', (chunk: Buffer) => {
    leftBytes -= chunk.length;
    if (leftBytes < 0) request.destroy();
  });
  request.unpipe(); // the body's own end would pause the request once more
  request.resume();
}
