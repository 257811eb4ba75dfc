import type { Dispatcher } from 'undici';
import { Agents } from './agents.ts';
import type { Answer } from './answers.ts';
import type { Certificates } from './certificates.ts';
import { Failure } from './failure.ts';
import { proxyFor } from './proxy.ts';
import type { RegistryOptions } from './registry.ts';
import type { Timing } from './timing.ts';
import { transportFailure, type Way } from './transport-failure.ts';

/** Of a body that nobody wants, what is read so that the connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/** Whose certificates are believed. */
export interface Trust {
  /** False: any certificate will do. */
  readonly verify: boolean;
  /** Hosts whose authorities are believed beside those of the host that is spoken to. */
  readonly hosts: readonly string[];
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** A function is called each time that the request is sent. */
  readonly body?: (() => AsyncIterable<Uint8Array>) | Uint8Array | string;
  readonly signal: AbortSignal | undefined;
  /** Where the answer may take longer than others. */
  readonly headersMs?: number;
}

/** The one place that requests to registries leave from: proxies, certificates and timeouts are the same for all. Made once, disposed by its maker. */
export class Connections implements AsyncDisposable {
  readonly timing: Timing;
  readonly certificates: Certificates;
  readonly #env: RegistryOptions['env'];
  readonly #agents: Agents;
  readonly #closing = new AbortController();

  constructor(certificates: Certificates, env: RegistryOptions['env'], timing: Timing) {
    this.certificates = certificates;
    this.timing = timing;
    this.#env = env;
    this.#agents = new Agents(timing);
  }

  /** Aborted when the connections are disposed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Sends one request; redirects are answers. Rejects with Failure, or with the signal's reason. */
  async send(request: HttpRequest, { verify, hosts }: Trust): Promise<Answer> {
    const { method, url, headers, body, signal, headersMs } = request;
    const proxy = proxyFor(url, this.#env);
    const tls = url.protocol === 'https:' ? await this.certificates.of(url.host, hosts) : undefined;
    const proxyTls = proxy?.protocol === 'https:' ? await this.certificates.of(proxy.host, []) : undefined;
    const way: Way = { url, proxy, authorities: (tls ?? proxyTls)?.authorities };
    try {
      signal?.throwIfAborted();
      const answer = await this.#agents.for({ proxy, tls, proxyTls, verify }).request({
        ...target(url, tls ? undefined : proxy, headers),
        ...({ method, body: typeof body === 'function' ? body() : body } as {
          method: HttpRequest['method'];
          body?: string;
        }),
        ...(signal && { signal }),
        headersTimeout: headersMs ?? this.timing.headersMs,
        bodyTimeout: this.timing.idleMs,
      });
      if (answer.statusCode === 407 && proxy) {
        await discard(answer.body);
        throw new Failure('unavailable', `proxy ${proxy.host} answers 407: it wants a login`);
      }
      return {
        ...{ status: answer.statusCode, headers: answer.headers, url },
        body: translated(answer.body, way),
        discard: () => discard(answer.body),
      };
    } catch (error) {
      throw transportFailure(error, way);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#agents[Symbol.asyncDispose]();
  }
}

/** A proxy gets the whole URL of what is asked for over plain HTTP (RFC 9112, section 3.2.2); its agent makes tunnels for the rest. */
function target(url: URL, proxy: URL | undefined, headers: HttpRequest['headers']) {
  const path = url.pathname + url.search;
  if (!proxy) return { origin: url.origin, path, headers };
  const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return {
    ...{ origin: proxy.origin, path: url.origin + path },
    headers: {
      ...{ ...headers, host: url.host },
      ...(proxy.username && { 'proxy-authorization': `Basic ${Buffer.from(login).toString('base64')}` }),
    },
  };
}

async function* translated(body: AsyncIterable<Uint8Array>, way: Way): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw transportFailure(error, way);
  }
}

async function discard(body: Dispatcher.ResponseData['body']): Promise<void> {
  body.once('error', () => undefined); // whatever becomes of it, the answer's head has been enough
  await body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => undefined);
}
