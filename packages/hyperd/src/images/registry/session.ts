import type { RegistryAuth } from '../image-service.ts';
import type { Answer } from './answers.ts';
import type { Asking, Authorizer, Grant } from './auth.ts';
import type { Connections, HttpRequest } from './connections.ts';
import { Failure } from './failure.ts';
import type { Endpoint } from './hosts.ts';
import { follow } from './redirects.ts';

/** A token that was kept too long, and one for more than was thought. */
const MAX_ANSWERS = 2;

export interface SessionRequest extends Omit<HttpRequest, 'signal' | 'url'> {
  /** Behind `/v2/`, or a whole URL that the registry gave. */
  readonly url: string | URL;
  readonly scopes: readonly string[];
}

export interface SessionParts {
  readonly connections: Connections;
  readonly authorizer: Authorizer;
}

/** One caller's requests to one endpoint. */
export class Session {
  readonly endpoint: Endpoint;
  readonly #parts: SessionParts;
  readonly #credentials: RegistryAuth | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(
    parts: SessionParts,
    endpoint: Endpoint,
    credentials: RegistryAuth | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.endpoint = endpoint;
    this.#parts = parts;
    this.#credentials = endpoint.isMirror ? undefined : credentials;
    this.#signal = signal;
  }

  /** For requests that make the registry hash or copy a whole blob. */
  get commitMs(): number {
    return this.#parts.connections.timing.commitMs;
  }

  /** Sends a request with what the registry asks of its callers; every status is an answer. Rejects with Failure. */
  async send({ url: place, scopes, ...request }: SessionRequest): Promise<Answer> {
    const { connections, authorizer } = this.#parts;
    const url = this.urlOf(place);
    const isOurs = url.origin === this.endpoint.origin;
    const asking = this.#asking(scopes);
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'hyperd', ...request.headers };
    let grant: Grant | undefined = isOurs ? await authorizer.beforehand(asking) : undefined;
    for (let answers = 0; ; answers++) {
      const authorized = { ...request, url, headers, signal: this.#signal, authorization: grant?.header };
      const answer = await follow(connections, authorized, this.endpoint.trust);
      if (answer.status !== 401 || answer.url.origin !== this.endpoint.origin || answers >= MAX_ANSWERS)
        return answer;
      const next = await this.#answer(answer, grant, asking);
      if (next === undefined) return answer;
      await answer.discard();
      grant = next;
    }
  }

  /** Whether the registry takes the credentials, which are proved anew. Rejects `unauthorized` where not. */
  async prove(): Promise<Answer> {
    const { connections, authorizer } = this.#parts;
    const request = { method: 'GET', url: this.urlOf(''), signal: this.#signal } as const;
    const answer = await follow(connections, request, this.endpoint.trust);
    if (answer.status !== 401) return answer;
    await answer.discard();
    const { username, identityToken, registryToken } = this.#credentials ?? {};
    if (!username && !identityToken && !registryToken)
      throw new Failure('unauthorized', 'the registry wants a login');
    const grant = registryToken
      ? { header: `Bearer ${registryToken}` }
      : await authorizer.prove(answer.headers['www-authenticate'], this.#asking([]));
    return await follow(connections, { ...request, authorization: grant?.header }, this.endpoint.trust);
  }

  /** What stands behind `/v2/`, or a URL as it is. */
  urlOf(place: string | URL): URL {
    return typeof place === 'string' ? new URL(`${this.endpoint.base}/v2/${place}`) : place;
  }

  async #answer(answer: Answer, refused: Grant | undefined, asking: Asking): Promise<Grant | undefined> {
    try {
      return await this.#parts.authorizer.answer(answer.headers['www-authenticate'], refused, asking);
    } catch (error) {
      await answer.discard();
      throw error;
    }
  }

  #asking(scopes: readonly string[]): Asking {
    return { endpoint: this.endpoint, credentials: this.#credentials, scopes, signal: this.#signal };
  }
}
