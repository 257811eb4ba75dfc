import type { Agent, IncomingMessage, RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { ApiError, ConnectionError } from './api-error.ts';
import { parseHostUrl, type Target } from './host-url.ts';
import { openSession, type Session } from './session.ts';
import { defaultTlsDirectory, readTlsFiles, type TlsFiles } from './tls-files.ts';
import { withResolvers } from './with-resolvers.ts';

/** A list is sent as one parameter for each of its values. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface CallOptions {
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, or as it comes where it is a stream. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Without TLS: where a name for it is left out, Node's search for one compiles its expression for IPv6 addresses, 8 ms of hyperctl's start. */
const PLAIN = { servername: '' };
const MAX_ERROR_LENGTH = 64 * 1024;

/** HTTP to one daemon. `close` when done. */
export class Transport {
  readonly #url: string;
  readonly #target: Target;
  readonly #tls: TlsFiles | undefined;
  #agent: Agent | undefined;

  /** `tlsDirectory`: of the certificates for `tls://`. Throws where they cannot be read. */
  constructor(hostUrl: string, tlsDirectory?: string) {
    this.#url = hostUrl;
    this.#target = parseHostUrl(hostUrl);
    const isEncrypted = 'isEncrypted' in this.#target && this.#target.isEncrypted;
    this.#tls = isEncrypted ? readTlsFiles(tlsDirectory ?? defaultTlsDirectory(process.env)) : undefined;
  }

  /**
   * Loaded when it is called for. An import would evaluate all of its exports, WebSocket's implementation among them: a third of hyperctl's
   * start.
   */
  get #module(): typeof import('node:http') | typeof import('node:https') {
    return process.getBuiltinModule(this.#tls ? 'node:https' : 'node:http');
  }

  /** Sends a request; resolves with its successful answer, the body unread. Rejects with ApiError or ConnectionError. */
  async send(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const { promise, resolve, reject } = withResolvers<IncomingMessage>();
    const { body } = options;
    const isStream = body instanceof Readable;
    const text = body === undefined || isStream ? undefined : JSON.stringify(body);
    this.#agent ??= new this.#module.Agent({ keepAlive: true });
    const call = this.#module.request(
      {
        ...this.#options(method, path, options),
        agent: this.#agent,
        headers: {
          Accept: 'application/json',
          ...(text === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
          ...options.headers,
        },
      },
      resolve,
    );
    call.on('error', (error) => reject(this.#connectionError(error)));
    const fail = (error: Error): void => {
      reject(new Error(`read what is to be sent: ${error.message}`, { cause: error }));
      call.destroy();
    };
    if (isStream) body.on('error', fail).pipe(call);
    else call.end(text);
    const response = await promise;
    if ((response.statusCode ?? 0) < 400) return response;
    throw await errorOf(response);
  }

  /** As `send`, with the decoded JSON body. */
  async json<T>(method: string, path: string, options?: CallOptions): Promise<T> {
    const text = await readText(await this.send(method, path, options));
    return (text.trim() === '' ? undefined : JSON.parse(text)) as T;
  }

  /** As `send`, for answers whose body says nothing. */
  async done(method: string, path: string, options?: CallOptions): Promise<void> {
    await readText(await this.send(method, path, options));
  }

  /** Takes a connection over; a body is sent as JSON. `framed`: the output comes in Docker's frames. */
  async hijack(path: string, options: CallOptions & { readonly framed: boolean }): Promise<Session> {
    const { promise, resolve, reject } = withResolvers<Session>();
    const text = options.body === undefined ? '' : JSON.stringify(options.body);
    const call = this.#module.request({
      ...this.#options('POST', path, options),
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'tcp',
        Accept: 'application/json',
        'Content-Type': text === '' ? 'text/plain' : 'application/json',
        'Content-Length': Buffer.byteLength(text),
      },
    });
    call.on('upgrade', (response, socket, head) => {
      resolve(openSession(socket as Socket, head, response.headers, options.framed));
    });
    call.on('response', (response) => errorOf(response).then(reject, reject));
    call.on('error', (error) => reject(this.#connectionError(error)));
    call.end(text);
    return promise;
  }

  close(): void {
    this.#agent?.destroy();
  }

  #options(method: string, path: string, { query = {}, signal }: CallOptions): RequestOptions {
    const values = Object.entries(query)
      .flatMap(([name, value]) => [value].flat().map((single) => [name, String(single ?? '')]))
      .filter(([, text]) => text !== '');
    const search = new URLSearchParams(values).toString();
    return {
      ...{ ...this.#target, ...(this.#tls ?? PLAIN), method },
      path: search === '' ? path : `${path}?${search}`,
      ...(signal ? { signal } : {}),
    };
  }

  #connectionError(error: NodeJS.ErrnoException): Error {
    if (error.name === 'AbortError') return error;
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
      return new ConnectionError(
        `connect to hyperd at "${this.#url}": nobody answers there; is hyperd running?`,
        {
          cause: error,
        },
      );
    }
    if (error.code === 'EACCES') {
      return new ConnectionError(`connect to hyperd at "${this.#url}": permission denied`, { cause: error });
    }
    if (/^ERR_SSL|CERT|SIGNATURE|ALTNAME/.test(error.code ?? '')) {
      return new ConnectionError(
        `connect to hyperd at "${this.#url}": ${error.message}; the certificates of both sides must be of authorities that the other side knows`,
        { cause: error },
      );
    }
    return new ConnectionError(`talk to hyperd at "${this.#url}": ${error.message}`, { cause: error });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function errorOf(response: IncomingMessage): Promise<ApiError> {
  const text = (await readText(response)).slice(0, MAX_ERROR_LENGTH).trim();
  const status = response.statusCode ?? 0;
  if (response.headers['content-type']?.startsWith('application/json')) {
    const { message, code } = JSON.parse(text) as { message?: string; code?: string };
    if (message !== undefined) return new ApiError(status, message, code);
  }
  return new ApiError(status, text || `status ${status} ${response.statusMessage ?? ''}`.trim());
}
