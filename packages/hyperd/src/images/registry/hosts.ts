import { messageOf } from '../../errors.ts';
import type { Connections, Trust } from './connections.ts';
import { Failure } from './failure.ts';
import { isLoopback } from './proxy.ts';
import type { RegistryOptions } from './registry.ts';

const DOCKER = 'docker.io';
const DOCKER_HOST = 'registry-1.docker.io';
const DOCKER_NAMES = new Set(['', DOCKER, DOCKER_HOST, 'index.docker.io', 'registry.hub.docker.com']);
/** A mirror that cannot be reached is left alone for a while: each layer would wait for it. */
const MIRROR_REST_MS = 30_000;
const MAX_REMEMBERED = 1000;

/** Where the API of a registry or of its mirror is. */
export interface Endpoint {
  /** `https://host:port`, and for mirrors perhaps a path; `/v2/` follows. */
  readonly base: string;
  readonly origin: string;
  readonly trust: Trust;
  /** Others than the registry get none of the caller's credentials. */
  readonly isMirror: boolean;
}

/** Which hosts to ask for the images of a domain, and by which scheme. */
export class Hosts {
  readonly #connections: Connections;
  readonly #insecure: ReadonlySet<string>;
  readonly #mirrors: readonly { readonly domain: string; readonly url: URL }[];
  /** What insecure registries have been found to speak. */
  readonly #schemes = new Map<string, 'https' | 'http'>();
  readonly #resting = new Map<string, number>();

  constructor({ insecureRegistries, mirrors }: RegistryOptions, connections: Connections) {
    this.#connections = connections;
    this.#insecure = new Set(insecureRegistries.map((host) => host.toLowerCase()));
    this.#mirrors = mirrors.map(parseMirror);
  }

  /** The mirrors of a domain, in order, without those that have just failed. */
  mirrors(domain: string): Endpoint[] {
    return this.#mirrors
      .filter((mirror) => mirror.domain === domain)
      .map(({ url }) => endpoint(url, !this.#insecure.has(url.host), [domain], true))
      .filter(({ base }) => (this.#resting.get(base) ?? 0) <= Date.now());
  }

  /** To be told of a mirror that could not be reached. */
  rest({ base }: Endpoint): void {
    remember(this.#resting, base, Date.now() + MIRROR_REST_MS);
  }

  /** The registry itself. Rejects with Failure where an insecure one answers by no scheme. */
  async registry(domain: string, signal: AbortSignal | undefined): Promise<Endpoint> {
    if (domain === DOCKER) return endpoint(new URL(`https://${DOCKER_HOST}`), true, [DOCKER], false);
    const listed = this.#insecure.has(domain.toLowerCase());
    const isOpen =
      listed ||
      (isLoopback(hostnameOf(domain)) && !(await this.#connections.certificates.has(domain.toLowerCase())));
    if (!isOpen) return endpoint(parseHost(domain, 'https'), true, [], false);
    const scheme = this.#schemes.get(domain) ?? (await this.#probe(domain, signal));
    remember(this.#schemes, domain, scheme);
    return endpoint(parseHost(domain, scheme), false, [], false);
  }

  /** To be told of an insecure registry that could not be reached: it may speak another scheme when it is back. */
  forget(domain: string): void {
    this.#schemes.delete(domain);
  }

  async #probe(domain: string, signal: AbortSignal | undefined): Promise<'https' | 'http'> {
    const reasons: Failure[] = [];
    for (const scheme of ['https', 'http'] as const) {
      const { base, trust } = endpoint(parseHost(domain, scheme), false, [], false);
      try {
        const answer = await this.#connections.send(
          { method: 'GET', url: new URL(`${base}/v2/`), signal },
          trust,
        );
        await answer.discard();
        return scheme;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        reasons.push(error);
      }
    }
    const message = reasons
      .map((reason, index) => `${index === 0 ? 'over TLS' : 'over plain HTTP'}: ${messageOf(reason)}`)
      .join('; ');
    const last = reasons.at(-1) as Failure;
    throw new Failure('unavailable', message, { retry: last.retry, cause: last });
  }
}

/** The domain that a login names: a host, or a URL such as `https://index.docker.io/v1/`. Throws `invalid-argument`. */
export function domainOfServer(address: string): string {
  const host = address
    .trim()
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/s, '')
    .toLowerCase();
  if (DOCKER_NAMES.has(host)) return DOCKER;
  parseHost(host, 'https');
  return host;
}

function parseMirror(text: string): { domain: string; url: URL } {
  const [, domain = DOCKER, address = ''] = /^(?:([^=/]+)=)?(.*)$/s.exec(text) ?? [];
  const url = URL.parse(address);
  if (url?.protocol === 'http:' || url?.protocol === 'https:')
    return { domain: domain === 'index.docker.io' ? DOCKER : domain, url };
  throw new Failure(
    'invalid-argument',
    `mirror "${text.slice(0, 300)}", want URL or HOST=URL, such as https://mirror.example`,
  );
}

function parseHost(host: string, scheme: 'https' | 'http'): URL {
  const url = URL.parse(`${scheme}://${host}`);
  if (
    url &&
    url.pathname === '/' &&
    url.username === '' &&
    url.search === '' &&
    url.hash === '' &&
    url.host !== ''
  )
    return url;
  throw new Failure('invalid-argument', `"${host.slice(0, 300)}" is no registry, want HOST or HOST:PORT`);
}

function hostnameOf(domain: string): string {
  return domain.replace(/:\d+$/, '');
}

function endpoint(url: URL, verify: boolean, names: readonly string[], isMirror: boolean): Endpoint {
  const base = url.origin + url.pathname.replace(/\/+$/, '');
  return { base, origin: url.origin, trust: { verify, hosts: [url.host, ...names] }, isMirror };
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) if (map.size > MAX_REMEMBERED) map.delete(oldest);
}
