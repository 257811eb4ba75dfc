import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { HyperError } from '../errors.ts';
import type { Answer, AnswerStream } from './call.ts';
import { errorAnswer, type StatusOverrides } from './error-status.ts';

/** True when the client asks for errors as JSON, and for proper statuses on hijacked routes. */
export function wantsJson(request: IncomingMessage): boolean {
  return /\bapplication\/json\b/i.test(request.headers.accept ?? '');
}

/** Sends `error` as plain text, as the original does, or as JSON to a client that asks for it. */
export function sendError(reply: FastifyReply, error: unknown, statuses?: StatusOverrides): FastifyReply {
  const { status, code, message } = errorAnswer(error, statuses);
  reply.code(status).header('X-Content-Type-Options', 'nosniff');
  if (wantsJson(reply.request.raw)) {
    return reply.header('Content-Type', 'application/json').send(jsonLine({ message, code }));
  }
  return reply.type('text/plain; charset=utf-8').send(`${message}\n`);
}

/** Bytes, because the framework would add a charset to the content type of a text; the original's JSON has none. */
function jsonLine(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Sends an answer. `signal` is the call's: it ends a streamed answer. */
export async function sendAnswer(reply: FastifyReply, answer: Answer, signal: AbortSignal): Promise<void> {
  switch (answer.kind) {
    case 'json':
      reply.headers(answer.headers ?? {});
      await reply.code(answer.status).header('Content-Type', 'application/json').send(jsonLine(answer.value));
      return;
    case 'text':
      await reply.code(answer.status).type('text/plain; charset=utf-8').send(answer.text);
      return;
    case 'empty':
      await reply.code(answer.status).send();
      return;
    case 'stream':
      await sendStream(reply, answer, signal);
  }
}

async function sendStream(
  reply: FastifyReply,
  answer: Extract<Answer, { kind: 'stream' }>,
  signal: AbortSignal,
): Promise<void> {
  const out = new ResponseStream(reply, answer.contentType, signal);
  try {
    await answer.produce(out);
    out.open();
    reply.raw.end();
  } catch (error) {
    if (!out.isOpen) throw error;
    reply.raw.destroy(); // a body that ends early must not look complete
  }
}

class ResponseStream implements AnswerStream {
  readonly #reply: FastifyReply;
  readonly #response: ServerResponse;
  readonly #contentType: string;
  readonly #signal: AbortSignal;
  #open = false;

  constructor(reply: FastifyReply, contentType: string, signal: AbortSignal) {
    this.#reply = reply;
    this.#response = reply.raw;
    this.#contentType = contentType;
    this.#signal = signal;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  open(): void {
    if (this.#open) return;
    this.#open = true;
    this.#reply.hijack();
    const headers = { ...this.#reply.getHeaders(), 'content-type': this.#contentType };
    this.#response.writeHead(200, headers as Record<string, string>);
    this.#response.flushHeaders();
  }

  async write(chunk: string | Uint8Array): Promise<void> {
    this.open();
    if (this.#signal.aborted) throw gone();
    if (!this.#response.write(chunk)) await drained(this.#response, this.#signal);
  }
}

function gone(): HyperError {
  return new HyperError('canceled', 'write answer: the client has gone');
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(gone());
  response.once('drain', resolve);
  signal.addEventListener('abort', abort, { once: true });
  return promise.finally(() => {
    response.off('drain', resolve);
    signal.removeEventListener('abort', abort);
  });
}
