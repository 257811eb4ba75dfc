import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { answerOf, bareReply, type Names, parseQuery, RCODES, reply } from './answer.ts';
import { framed, frames } from './frame.ts';
import type { Upstream } from './upstream.ts';

const PORT = 53;
/** Bounds on what is under way for one network, and for one pod, which is not to take all of it. */
const MAX_QUERIES = 512;
const MAX_QUERIES_OF_POD = 64;
const MAX_CONNECTIONS = 64;
const IDLE_TIMEOUT_MS = 10_000;

/**
 * Answers the pods of one network at its gateway: names of pods by itself, others by asking the host's name servers. Opened by
 * `openNameServer`, ended by disposing of it.
 */
export class NameServer implements AsyncDisposable {
  readonly #namesFor: (from: string) => Names;
  readonly #upstream: Upstream;
  readonly #udp: DatagramSocket;
  readonly #tcp: Server;
  readonly #ending = new AbortController();
  readonly #underWay = new Map<string, number>();
  readonly #connections = new Set<Socket>();
  #count = 0;

  /** `namesFor`: what the pod at an address may know. */
  constructor(namesFor: (from: string) => Names, upstream: Upstream) {
    this.#namesFor = namesFor;
    this.#upstream = upstream;
    this.#udp = createSocket('udp4');
    this.#udp.on('message', (message, { address, port }) => {
      this.#answer(message, address, 'udp')
        .then((answer) => {
          if (answer && !this.#ending.signal.aborted) this.#udp.send(answer, port, address, () => undefined); // the pod may be gone
        })
        .catch(() => undefined); // a question that cannot even be repeated, or from port 0, which nothing can be sent to
    });
    this.#tcp = createServer((socket) => void this.#serve(socket));
    this.#tcp.maxConnections = MAX_CONNECTIONS;
  }

  /** Rejects where the port cannot be had. */
  async listen(address: string): Promise<void> {
    this.#udp.bind(PORT, address);
    await once(this.#udp, 'listening');
    this.#tcp.listen(PORT, address);
    await once(this.#tcp, 'listening');
    this.#udp.on('error', () => undefined); // a datagram that could not be sent: the pod asks again
    this.#tcp.on('error', () => undefined); // a connection that could not be taken: likewise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    for (const socket of this.#connections) socket.destroy();
    this.#udp.close();
    this.#tcp.close();
  }

  async #serve(socket: Socket): Promise<void> {
    this.#connections.add(socket);
    socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
    try {
      for await (const message of frames(socket)) {
        const answer = await this.#answer(message, socket.remoteAddress ?? '', 'tcp');
        if (!answer) break;
        socket.write(framed(answer));
      }
      socket.end();
    } catch {
      socket.destroy(); // its pod has broken it off
    } finally {
      this.#connections.delete(socket);
    }
  }

  /** Undefined: what came is not to be answered. */
  async #answer(message: Buffer, from: string, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (query === undefined) return undefined;
    if (typeof query === 'number') return bareReply(message, query);
    const own = answerOf(query, this.#namesFor(from));
    if (own) return own;
    const ofPod = this.#underWay.get(from) ?? 0;
    if (this.#count >= MAX_QUERIES || ofPod >= MAX_QUERIES_OF_POD) return reply(query, RCODES.serverFailure);
    this.#count++;
    this.#underWay.set(from, ofPod + 1);
    try {
      const answer = await this.#upstream.ask(message, query, transport, this.#ending.signal);
      return answer ?? reply(query, RCODES.serverFailure);
    } finally {
      this.#count--;
      const left = (this.#underWay.get(from) ?? 1) - 1;
      if (left > 0) this.#underWay.set(from, left);
      else this.#underWay.delete(from);
    }
  }
}
