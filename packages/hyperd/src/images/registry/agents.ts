import { Agent, type Dispatcher, Pool, ProxyAgent } from 'undici';
import type { HostTls } from './certificates.ts';
import { Failure } from './failure.ts';
import type { Timing } from './timing.ts';

const MAX_AGENTS = 32;

/** How a host is reached. */
export interface Route {
  readonly proxy: URL | undefined;
  /** Of the host; undefined for plain HTTP. */
  readonly tls: HostTls | undefined;
  /** Of a proxy that is spoken to over TLS. */
  readonly proxyTls: HostTls | undefined;
  /** False: any certificate of the host will do. */
  readonly verify: boolean;
}

/** Pools of connections, one for each way of reaching hosts; the least used ones are let go. Made once, disposed by its maker. */
export class Agents implements AsyncDisposable {
  readonly #timing: Timing;
  readonly #agents = new Map<string, Dispatcher>();
  #isDisposed = false;

  constructor(timing: Timing) {
    this.#timing = timing;
  }

  /** To be used at once: an agent that others push out ends when its requests have. */
  for(route: Route): Dispatcher {
    if (this.#isDisposed) throw new Failure('canceled', 'the connections to registries are closed');
    const { proxy, tls, proxyTls, verify } = route;
    const key = [proxy?.href, tls?.key ?? 'plain', proxyTls?.key, verify].join('\0');
    const agent = this.#agents.get(key) ?? this.#make(route);
    this.#agents.delete(key);
    this.#agents.set(key, agent); // the last to go
    for (const [oldest, unused] of this.#agents) {
      if (this.#agents.size <= MAX_AGENTS) break;
      this.#agents.delete(oldest);
      unused.close().catch(() => unused.destroy());
    }
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
    this.#agents.clear();
  }

  #make({ proxy, tls, proxyTls, verify }: Route): Dispatcher {
    const { connectMs, headersMs, idleMs } = this.#timing;
    const timeouts = { headersTimeout: headersMs, bodyTimeout: idleMs, connectTimeout: connectMs };
    const toHost = { ...secure(tls), rejectUnauthorized: verify };
    if (proxy === undefined)
      return new Agent({
        ...timeouts,
        allowH2: false,
        connect: { ...toHost, allowH2: false, timeout: connectMs },
      });
    // Plain HTTP is sent to the proxy itself.
    if (tls === undefined)
      return new Agent({
        ...timeouts,
        allowH2: false,
        connect: { ...secure(proxyTls), allowH2: false, timeout: connectMs },
      });
    return new ProxyAgent({
      ...{ ...timeouts, uri: proxy.href, allowH2: false },
      requestTls: { ...toHost, allowH2: false },
      proxyTls: { ...secure(proxyTls), allowH2: false },
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: connectMs }),
    });
  }
}

function secure(tls: HostTls | undefined) {
  return tls ? { secureContext: tls.context } : {};
}
