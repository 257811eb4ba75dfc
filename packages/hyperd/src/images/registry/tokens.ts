import { createHash } from 'node:crypto';
import { messageOf } from '../../errors.ts';
import type { RegistryAuth } from '../image-service.ts';
import { type Answer, collect, refusal } from './answers.ts';
import type { Connections, Trust } from './connections.ts';
import { Failure } from './failure.ts';
import { follow } from './redirects.ts';

const CLIENT_ID = 'hyperd';
const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_TOKEN = 65_536;
const MAX_KEPT = 1000;
/** Where a token server does not say (distribution's token specification). */
const DEFAULT_LIFETIME_S = 60;
const MAX_LIFETIME_S = 86_400;

/** What a token is for. */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string;
  readonly scopes: readonly string[];
  readonly credentials: RegistryAuth | undefined;
  readonly trust: Trust;
  /** Whether the registry itself is spoken to over plain HTTP; only then may credentials go to the realm so. */
  readonly isPlain: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface Token {
  readonly value: string;
  /** Equal for what the same token serves. */
  readonly key: string;
  /** Asked for just now, not kept from an earlier call. */
  readonly isNew: boolean;
}

interface Kept {
  readonly value: string;
  readonly expiresAtMs: number;
}

/** Bearer tokens of registries, shared by all calls (distribution's token and OAuth2 specifications). */
export class Tokens {
  readonly #connections: Connections;
  readonly #kept = new Map<string, Kept>();

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /** A kept token that is still good, or a new one. `refused`: a value that the registry did not take. Rejects with Failure. */
  async get(request: TokenRequest, refused?: string): Promise<Token> {
    const key = keyOf(request);
    const kept = this.#kept.get(key);
    if (kept && kept.value !== refused && kept.expiresAtMs > performance.now())
      return { value: kept.value, key, isNew: false };
    return await this.renew(request);
  }

  /** A new token, whatever is kept. Rejects with Failure. */
  async renew(request: TokenRequest): Promise<Token> {
    const key = keyOf(request);
    const askedAtMs = performance.now();
    const { value, lifetimeS } = await fetchToken(this.#connections, request);
    this.#kept.delete(key);
    // A token that ends on its way to the registry costs a refusal; it is left a tenth before its time.
    this.#kept.set(key, { value, expiresAtMs: askedAtMs + lifetimeS * 900 });
    for (const oldest of this.#kept.keys()) if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest);
    return { value, key, isNew: true };
  }
}

/** The header for user name and password; undefined without them. */
export function basicHeader(credentials: RegistryAuth | undefined): string | undefined {
  if (!credentials?.username) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password ?? ''}`).toString('base64')}`;
}

function keyOf({ realm, service, scopes, credentials }: TokenRequest): string {
  const secret = JSON.stringify([credentials?.username, credentials?.password, credentials?.identityToken]);
  return JSON.stringify([realm.href, service, scopes, createHash('sha256').update(secret).digest('hex')]);
}

async function fetchToken(
  connections: Connections,
  request: TokenRequest,
): Promise<{ value: string; lifetimeS: number }> {
  const { realm, credentials, isPlain } = request;
  const basic = basicHeader(credentials);
  if ((basic || credentials?.identityToken) && realm.protocol === 'http:' && !isPlain)
    throw new Failure(
      'unauthorized',
      `the registry wants the login sent to ${realm.host} over plain HTTP, which is refused`,
    );
  if (credentials?.identityToken) {
    const answer = await exchange(connections, request, credentials.identityToken);
    // Token servers without OAuth2 have nothing there.
    if (!((answer.status === 404 || answer.status === 405) && basic)) return await readToken(answer);
    await answer.discard();
  }
  return await readToken(await ask(connections, request, basic));
}

function ask(
  connections: Connections,
  request: TokenRequest,
  authorization: string | undefined,
): Promise<Answer> {
  const { realm, service, scopes, credentials, trust, signal } = request;
  const url = new URL(realm);
  if (service) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (authorization && credentials?.username) url.searchParams.set('account', credentials.username);
  return follow(connections, { method: 'GET', url, authorization, signal }, trust);
}

function exchange(connections: Connections, request: TokenRequest, identityToken: string): Promise<Answer> {
  const { realm, service, scopes, trust, signal } = request;
  const form = new URLSearchParams({ grant_type: 'refresh_token', service, client_id: CLIENT_ID });
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  form.set('refresh_token', identityToken);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return follow(connections, { method: 'POST', url: realm, headers, body: form.toString(), signal }, trust);
}

async function readToken(answer: Answer): Promise<{ value: string; lifetimeS: number }> {
  const { host } = answer.url;
  if (answer.status !== 200) throw await tokenRefusal(answer);
  const bytes = await collect(answer, MAX_ANSWER_BYTES);
  let fields: Record<string, unknown>;
  try {
    fields = (JSON.parse(bytes.toString()) ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw new Failure('unavailable', `token server ${host} answers no JSON: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const value = [fields.token, fields.access_token].find(
    (candidate) => typeof candidate === 'string' && candidate !== '',
  );
  if (typeof value !== 'string' || value.length > MAX_TOKEN || !/^[\x21-\x7e]+$/.test(value))
    throw new Failure('unavailable', `token server ${host} gives no token of printable ASCII`);
  const lifetime = Number(fields.expires_in);
  return { value, lifetimeS: lifetime > 0 ? Math.min(lifetime, MAX_LIFETIME_S) : DEFAULT_LIFETIME_S };
}

/** OAuth2 says 400 with `invalid_grant` for a token that is no longer good (RFC 6749, section 5.2). */
async function tokenRefusal(answer: Answer): Promise<Failure> {
  const { message, code, retry, cause } = await refusal(answer);
  const isDenied = answer.status === 400 || answer.status === 401;
  return new Failure(
    isDenied ? 'unauthorized' : code === 'not-found' ? 'unavailable' : code,
    `token server ${message}`,
    { retry, cause },
  );
}
