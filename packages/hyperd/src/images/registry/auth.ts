import type { RegistryAuth } from '../image-service.ts';
import { type BearerChallenge, chooseChallenge, mergeScopes, parseChallenges } from './challenges.ts';
import type { Connections } from './connections.ts';
import type { Endpoint } from './hosts.ts';
import { basicHeader, type Token, type TokenRequest, Tokens } from './tokens.ts';

const MAX_REMEMBERED = 1000;

/** Who asks, whom, and for what. */
export interface Asking {
  readonly endpoint: Endpoint;
  /** Undefined for mirrors: they are others than who the credentials are for. */
  readonly credentials: RegistryAuth | undefined;
  /** What the request needs: `repository:a/b:pull`. */
  readonly scopes: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** What a request bears. */
export type Grant =
  | { readonly kind: 'basic' | 'given'; readonly header: string }
  | { readonly kind: 'bearer'; readonly header: string; readonly token: Token };

/** Answers what registries ask of their callers; what one has asked once is answered beforehand from then on. */
export class Authorizer {
  readonly #tokens: Tokens;
  /** By the endpoint's base. */
  readonly #asked = new Map<string, 'basic' | BearerChallenge>();

  constructor(connections: Connections) {
    this.#tokens = new Tokens(connections);
  }

  /** What to send with a request before the registry has asked. Rejects with Failure. */
  async beforehand(asking: Asking): Promise<Grant | undefined> {
    const { endpoint, credentials, scopes } = asking;
    if (credentials?.registryToken) return { kind: 'given', header: `Bearer ${credentials.registryToken}` };
    const asked = this.#asked.get(endpoint.base);
    if (asked === undefined) return undefined;
    if (asked === 'basic') return basicGrant(credentials);
    return bearerGrant(await this.#tokens.get(tokenRequest(asked, mergeScopes(scopes), asking)));
  }

  /** What to send instead of `refused`; undefined where nothing is left to try. Rejects with Failure. */
  async answer(
    header: string | string[] | undefined,
    refused: Grant | undefined,
    asking: Asking,
  ): Promise<Grant | undefined> {
    if (refused?.kind === 'given' || header === undefined) return undefined;
    const challenge = this.#challenge(header, asking);
    if (challenge === 'basic') return refused?.kind === 'basic' ? undefined : basicGrant(asking.credentials);
    const request = tokenRequest(challenge, mergeScopes(asking.scopes, challenge.scopes), asking);
    const old = refused?.kind === 'bearer' ? refused.token : undefined;
    const token = await this.#tokens.get(request, old?.value);
    if (!old?.isNew || old.key !== token.key) return bearerGrant(token);
    return undefined; // it has just been made for this very request
  }

  /** As `answer`, by credentials that are proved now: nothing kept will do. */
  async prove(header: string | string[] | undefined, asking: Asking): Promise<Grant | undefined> {
    const challenge = this.#challenge(header, asking);
    if (challenge === 'basic') return basicGrant(asking.credentials);
    return bearerGrant(await this.#tokens.renew(tokenRequest(challenge, challenge.scopes, asking)));
  }

  #challenge(header: string | string[] | undefined, { endpoint }: Asking): 'basic' | BearerChallenge {
    const challenge = chooseChallenge(parseChallenges(header));
    this.#asked.delete(endpoint.base);
    this.#asked.set(endpoint.base, challenge);
    for (const oldest of this.#asked.keys())
      if (this.#asked.size > MAX_REMEMBERED) this.#asked.delete(oldest);
    return challenge;
  }
}

function tokenRequest(
  { realm, service }: BearerChallenge,
  scopes: readonly string[],
  asking: Asking,
): TokenRequest {
  const { endpoint, credentials, signal } = asking;
  const isPlain = endpoint.origin.startsWith('http:');
  return { realm, service, scopes, credentials, trust: endpoint.trust, isPlain, signal };
}

function bearerGrant(token: Token): Grant {
  return { kind: 'bearer', header: `Bearer ${token.value}`, token };
}

function basicGrant(credentials: RegistryAuth | undefined): Grant | undefined {
  const header = basicHeader(credentials);
  return header === undefined ? undefined : { kind: 'basic', header };
}
