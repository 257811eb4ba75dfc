import { type ErrorCode, HyperError } from '../errors.ts';
import type { GuestConnection } from '../guest/index.ts';

/** How long a client's session waits for its build to begin, and a step for a session of its client, in ms. */
const WAIT_MS = 30_000;
/** Sessions of one agent that wait for a step, and steps that wait for one. */
const MAX_WAITING = 32;
/** Agents of all builds together. */
const MAX_AGENTS = 1024;

/** A client's connection that leads to its ssh agent. */
export interface AgentSession {
  /** What the agent says. To be read once. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when the client can take more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

interface Offer {
  readonly session: AgentSession;
  /** The session is over, or of no use any more. */
  readonly done: () => void;
}

interface Waiting {
  readonly offers: Set<Offer>;
  readonly takers: Set<(offer: Offer) => void>;
}

/**
 * Brings clients and the steps of their builds together: a client that forwards its ssh agent keeps one session open for each, and opens the next when a step
 * has begun to use it. So every connection of a step has a session of its own.
 */
export class AgentSessions {
  readonly #builds = new Set<string>();
  readonly #agents = new Map<string, Waiting>();

  /** Puts a client's session at the disposal of its build; resolves when it is over. Rejects `not-found` where that build does not begin, `limit`. */
  async offer(build: string, agent: string, session: AgentSession): Promise<void> {
    if (this.#agents.size >= MAX_AGENTS) throw new HyperError('limit', 'forward ssh agents: too many');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const offer: Offer = { session, done: resolve };
    const waiting = this.#waiting(build, agent);
    if (waiting.offers.size >= MAX_WAITING)
      throw new HyperError('limit', `forward ssh agent "${agent}": ${MAX_WAITING} sessions wait already`);
    const [taker] = waiting.takers;
    if (taker) {
      waiting.takers.delete(taker);
      taker(offer);
    } else {
      waiting.offers.add(offer);
    }
    const timer = setTimeout(() => {
      if (!this.#builds.has(build))
        reject(new HyperError('not-found', `forward ssh agent "${agent}": no build has the id "${build}"`));
    }, WAIT_MS);
    const gone = (): void => resolve();
    session.signal.addEventListener('abort', gone, { once: true });
    if (session.signal.aborted) resolve();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      session.signal.removeEventListener('abort', gone);
      waiting.offers.delete(offer);
      this.#forget(build, agent);
    }
  }

  /** The build begins: from now on sessions wait for as long as it runs, until it is disposed of. Throws `conflict`. */
  begin(build: string): Disposable {
    if (this.#builds.has(build))
      throw new HyperError('conflict', `build with the id "${build}": there is one already`);
    this.#builds.add(build);
    return {
      [Symbol.dispose]: () => {
        this.#builds.delete(build);
        for (const [key, { offers }] of this.#agents)
          if (key.startsWith(`${build}\n`)) for (const { done } of offers) done();
      },
    };
  }

  /** Has a connection of a step served by a session of the client; resolves when that is over. Rejects `timeout` where the client opens none. */
  async serve(build: string, agent: string, connection: GuestConnection): Promise<void> {
    const { session, done } = await this.#take(build, agent, connection.signal);
    const signal = AbortSignal.any([connection.signal, session.signal]);
    const over = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await Promise.race([
        over,
        pump(connection.input, (bytes) => session.write(bytes)),
        pump(session.input, (bytes) => connection.write(bytes)),
      ]);
    } finally {
      done();
    }
  }

  /** The next session of the client. Rejects `canceled` as soon as the connection it is for has ended: no session is used up then. */
  async #take(build: string, agent: string, signal: AbortSignal): Promise<Offer> {
    const failed = (code: ErrorCode, why: string): HyperError =>
      new HyperError(code, `ssh agent "${agent}": ${why}`);
    const ended = (): HyperError => failed('canceled', 'the connection to it has ended');
    if (signal.aborted) throw ended();
    const waiting = this.#waiting(build, agent);
    const [offer] = waiting.offers;
    if (offer) {
      waiting.offers.delete(offer);
      return offer;
    }
    if (waiting.takers.size >= MAX_WAITING) throw failed('limit', `${MAX_WAITING} connections wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<Offer>();
    waiting.takers.add(resolve);
    const giveUp = (error: HyperError): void => {
      waiting.takers.delete(resolve); // at once: what is offered from now on is for others
      reject(error);
    };
    const late = failed('timeout', `the client has opened no session within ${WAIT_MS} ms`);
    const timer = setTimeout(() => giveUp(late), WAIT_MS);
    const abort = (): void => giveUp(ended());
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      this.#forget(build, agent);
    }
  }

  #waiting(build: string, agent: string): Waiting {
    const key = `${build}\n${agent}`;
    const known = this.#agents.get(key) ?? { offers: new Set(), takers: new Set() };
    this.#agents.set(key, known);
    return known;
  }

  #forget(build: string, agent: string): void {
    const key = `${build}\n${agent}`;
    const waiting = this.#agents.get(key);
    if (waiting?.offers.size === 0 && waiting.takers.size === 0) this.#agents.delete(key);
  }
}

async function pump(
  source: AsyncIterable<Uint8Array>,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  for await (const bytes of source) await write(bytes);
}
