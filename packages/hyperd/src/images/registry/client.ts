import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { HyperError, messageOf } from '../../errors.ts';
import { asDigest, type Digest } from '../../ids.ts';
import { MAX_MANIFEST_BYTES, MEDIA } from '../../oci/documents.ts';
import type { RegistryAuth } from '../image-service.ts';
import type { Reference } from '../reference.ts';
import { basicHeader, parseChallenge } from './auth.ts';
import type { BlobSink, RegistryClient, RegistryOptions } from './registry.ts';

const MAX_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 250;
const MAX_RETRY_AFTER_MS = 60_000;
const MAX_REDIRECTS = 5;
const MAX_TOKEN_BYTES = 1024 * 1024;
const ACCEPT = [MEDIA.ociIndex, MEDIA.dockerList, MEDIA.ociManifest, MEDIA.dockerManifest].join(', ');

/** Connections to registries; disposed by its maker. */
export class Registries implements AsyncDisposable {
  readonly #insecure: ReadonlySet<string>;
  // The one place that connections come from: proxies of the environment are honoured.
  readonly #dispatcher: Dispatcher;

  constructor({ insecureRegistries }: Pick<RegistryOptions, 'insecureRegistries'>) {
    this.#insecure = new Set(insecureRegistries);
    const timeouts = { connect: { timeout: 15_000 }, headersTimeout: 60_000, bodyTimeout: 60_000 };
    const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy } = process.env;
    this.#dispatcher =
      HTTP_PROXY || HTTPS_PROXY || http_proxy || https_proxy
        ? new EnvHttpProxyAgent(timeouts)
        : new Agent(timeouts);
  }

  /** A client for one repository, with the caller's credentials. */
  repository(
    reference: Reference,
    auth: RegistryAuth | undefined,
    signal: AbortSignal | undefined,
  ): Repository {
    return new Repository(reference, this.#origin(reference.domain), auth, this.#dispatcher, signal);
  }

  #origin(domain: string): string {
    if (domain === 'docker.io') return 'https://registry-1.docker.io';
    const plain = this.#insecure.has(domain) || isLoopback(domain);
    return `${plain ? 'http' : 'https'}://${domain}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

function isLoopback(domain: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/.test(domain);
}

interface Response {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Dispatcher.ResponseData['body'];
}

/** One repository of a registry (OCI distribution-spec v1.1, pull). Calls reject with `not-found`, `unauthorized`, `unavailable`, `canceled`. */
export class Repository {
  readonly #reference: Reference;
  readonly #origin: string;
  readonly #auth: RegistryAuth | undefined;
  readonly #dispatcher: Dispatcher;
  readonly #signal: AbortSignal | undefined;
  #authorization: string | undefined;

  constructor(
    reference: Reference,
    origin: string,
    auth: RegistryAuth | undefined,
    dispatcher: Dispatcher,
    signal: AbortSignal | undefined,
  ) {
    this.#reference = reference;
    this.#origin = origin;
    this.#auth = auth;
    this.#dispatcher = dispatcher;
    this.#signal = signal;
    if (auth?.registryToken) this.#authorization = `Bearer ${auth.registryToken}`;
  }

  /** A manifest or index by tag or digest, and its digest as the registry gives it. */
  async manifest(
    tagOrDigest: string,
  ): Promise<{ bytes: Buffer; mediaType: string; digest: Digest | undefined }> {
    const what = `manifest ${tagOrDigest} of ${this.#name}`;
    return this.#retried(what, async () => {
      const response = await this.#get(`/manifests/${tagOrDigest}`, { accept: ACCEPT }, what);
      const bytes = await collect(response, MAX_MANIFEST_BYTES, what);
      const digest = asDigest(String(response.headers['docker-content-digest'] ?? ''));
      return { bytes, mediaType: String(response.headers['content-type'] ?? ''), digest };
    });
  }

  /** A blob of known size into `sink`; what a cut connection has brought is kept. */
  async blob(digest: Digest, sizeBytes: number, sink: BlobSink): Promise<void> {
    const what = `blob ${digest} of ${this.#name}`;
    await this.#retried(what, async () => {
      const from = sink.sizeBytes;
      const response = await this.#get(`/blobs/${digest}`, from > 0 ? { range: `bytes=${from}-` } : {}, what);
      if (from > 0 && response.status !== 206) await sink.reset();
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        if (sink.sizeBytes + chunk.length > sizeBytes) {
          response.body.destroy();
          throw new HyperError(
            'corrupt',
            `read ${what}: it has more than the ${sizeBytes} bytes its manifest says`,
          );
        }
        await sink.append(chunk);
      }
      if (sink.sizeBytes < sizeBytes)
        throw new Error(`the connection ended after ${sink.sizeBytes} of ${sizeBytes} bytes`);
    });
  }

  get #name(): string {
    return `${this.#reference.domain}/${this.#reference.path}`;
  }

  async #get(path: string, headers: Record<string, string>, what: string): Promise<Response> {
    const url = new URL(`/v2/${this.#reference.path}${path}`, this.#origin);
    let response = await this.#send(url, headers);
    if (response.status === 401) {
      await response.body.dump();
      await this.#authorize(String(response.headers['www-authenticate'] ?? ''), what);
      response = await this.#send(url, headers);
    }
    if (response.status === 200 || response.status === 206) return response;
    throw await refusal(response, what);
  }

  /** Follows redirects; credentials go to the registry itself only. */
  async #send(first: URL, headers: Record<string, string>): Promise<Response> {
    let url = first;
    for (let hops = 0; ; hops++) {
      const ours = url.origin === first.origin && this.#authorization !== undefined;
      const {
        statusCode,
        headers: answer,
        body,
      } = await request(url, {
        headers: { ...headers, ...(ours && { authorization: this.#authorization }) },
        dispatcher: this.#dispatcher,
        ...(this.#signal && { signal: this.#signal }),
      });
      const location = answer.location;
      if (statusCode < 301 || statusCode > 308 || typeof location !== 'string')
        return { status: statusCode, headers: answer, body };
      await body.dump();
      if (hops >= MAX_REDIRECTS)
        throw new HyperError('unavailable', `read ${first.href}: too many redirects`);
      url = new URL(location, url);
    }
  }

  async #authorize(header: string, what: string): Promise<void> {
    const challenge = parseChallenge(header);
    if (challenge.scheme === 'basic') {
      this.#authorization = basicHeader(this.#auth);
      if (!this.#authorization)
        throw new HyperError('unauthorized', `read ${what}: the registry asks for a login`);
      return;
    }
    const url = new URL(challenge.realm);
    if (challenge.service) url.searchParams.set('service', challenge.service);
    url.searchParams.set('scope', challenge.scope || `repository:${this.#reference.path}:pull`);
    const basic = basicHeader(this.#auth);
    const { statusCode, body } = await request(url, {
      headers: basic ? { authorization: basic } : {},
      dispatcher: this.#dispatcher,
      ...(this.#signal && { signal: this.#signal }),
    });
    const bytes = await collect({ status: statusCode, headers: {}, body }, MAX_TOKEN_BYTES, 'token');
    if (statusCode !== 200)
      throw new HyperError('unauthorized', `read ${what}: the registry's login answers ${statusCode}`);
    const token = JSON.parse(bytes.toString()) as { token?: unknown; access_token?: unknown };
    this.#authorization = `Bearer ${String(token.token ?? token.access_token ?? '')}`;
  }

  async #retried<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (this.#signal?.aborted)
          throw new HyperError('canceled', `read ${what}: canceled`, { cause: error });
        const wait = waitBefore(error, attempt);
        if (wait === undefined) throw asRegistryError(error, what);
        await sleep(wait, undefined, this.#signal ? { signal: this.#signal } : {}).catch(() => undefined); // the next attempt sees the abort
      }
    }
  }
}

/** An answer that says to come again later. */
class TryLater extends HyperError {
  readonly afterMs: number | undefined;

  constructor(message: string, afterMs: number | undefined) {
    super('unavailable', message);
    this.afterMs = afterMs;
  }
}

/** ms to wait before another attempt; undefined when there is to be none. */
function waitBefore(error: unknown, attempt: number): number | undefined {
  if (attempt >= MAX_ATTEMPTS) return undefined;
  if (error instanceof HyperError && !(error instanceof TryLater)) return undefined;
  const { code } = (error ?? {}) as { code?: string };
  if (code === 'ENOTFOUND' || code === 'ECONNREFUSED') return undefined;
  const asked = error instanceof TryLater ? error.afterMs : undefined;
  return Math.min(asked ?? FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + Math.random()), MAX_RETRY_AFTER_MS);
}

function asRegistryError(error: unknown, what: string): HyperError {
  if (error instanceof HyperError) return error;
  return new HyperError('unavailable', `read ${what}: ${messageOf(error)}`, { cause: error });
}

async function refusal(response: Response, what: string): Promise<HyperError> {
  const { status } = response;
  await response.body.dump();
  if (status === 404) return new HyperError('not-found', `read ${what}: not found in the registry`);
  if (status === 401 || status === 403)
    return new HyperError('unauthorized', `read ${what}: the registry denies access (${status})`);
  if (status === 429 || status >= 500) {
    const seconds = Number(response.headers['retry-after']);
    return new TryLater(
      `read ${what}: the registry answers ${status}`,
      seconds >= 0 ? seconds * 1000 : undefined,
    );
  }
  return new HyperError('unavailable', `read ${what}: the registry answers ${status}`);
}

async function collect(response: Response, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      response.body.destroy();
      throw new HyperError('limit', `read ${what}: it has more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Adapts the pull client to the interface; what it cannot do yet says so. */
export function createRegistryClient(options: RegistryOptions): RegistryClient {
  const registries = new Registries(options);
  const missing = (): never => {
    throw new HyperError('unsupported', 'use registry: only pulling works yet');
  };
  return {
    repository(reference, { auth, signal }) {
      const repository = registries.repository(reference, auth, signal);
      return {
        ...{ manifest: (tag) => repository.manifest(tag), blob: (digest, sizeBytes, sink) => repository.blob(digest, sizeBytes, sink) },
        ...{ tags: missing, hasBlob: missing, mountBlob: missing, uploadBlob: missing, putManifest: missing },
      };
    },
    checkLogin: missing,
    [Symbol.asyncDispose]: () => registries[Symbol.asyncDispose](),
  };
}
