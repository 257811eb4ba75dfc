import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { connect, isIP, isIPv6 } from 'node:net';
import { isAnswerTo, isFailure, type Query } from './answer.ts';
import { framed, readFrame } from './frame.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const PORT = 53;
const SERVER_TIMEOUT_MS = 3_000;
const MAX_SERVERS = 3;

/** The name servers of the host, as its resolv.conf has them now. */
export class Upstream {
  #seenAs = '';
  #servers: readonly string[] = [];

  /** Asks one server after the other. Undefined: none of them has answered. `signal` ends the asking. */
  async ask(
    message: Buffer,
    query: Query,
    transport: 'udp' | 'tcp',
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    let failure: Buffer | undefined;
    for (const server of await this.#current()) {
      const id = randomInt(65_536);
      const question = Buffer.from(message);
      question.writeUInt16BE(id, 0);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(SERVER_TIMEOUT_MS)]);
      try {
        const answer = await (transport === 'udp' ? overUdp : overTcp)(server, question, limit, (received) =>
          isAnswerTo(received, query, id),
        );
        answer.writeUInt16BE(query.id, 0);
        if (!isFailure(answer)) return answer;
        failure = answer;
      } catch {
        if (signal.aborted) return undefined; // else: the next one
      }
    }
    return failure;
  }

  async #current(): Promise<readonly string[]> {
    try {
      const { mtimeMs, ino, size } = await stat(RESOLV_CONF);
      const seenAs = `${mtimeMs} ${ino} ${size}`;
      if (seenAs !== this.#seenAs) {
        this.#servers = parseServers(await readFile(RESOLV_CONF, 'utf8'));
        this.#seenAs = seenAs;
      }
    } catch {
      this.#servers = []; // the host has no such file now
      this.#seenAs = '';
    }
    return this.#servers;
  }
}

/** The first servers of a resolv.conf, as many as the C library takes. */
export function parseServers(text: string): string[] {
  const lines = text.split('\n').map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '');
  return lines.filter((server) => isIP(server.replace(/%.*$/, '')) !== 0).slice(0, MAX_SERVERS);
}

async function overUdp(
  server: string,
  question: Buffer,
  signal: AbortSignal,
  isAnswer: (received: Buffer) => boolean,
): Promise<Buffer> {
  const socket = createSocket(isIPv6(server.replace(/%.*$/, '')) ? 'udp6' : 'udp4');
  try {
    socket.connect(PORT, server); // so that nobody else's datagrams come in, and a refusal is heard of
    await once(socket, 'connect', { signal });
    socket.send(question);
    for (;;) {
      const [received] = (await once(socket, 'message', { signal })) as [Buffer];
      if (isAnswer(received)) return received;
    }
  } finally {
    socket.on('error', () => undefined); // of a socket that nobody waits for any more
    socket.close();
  }
}

async function overTcp(
  server: string,
  question: Buffer,
  signal: AbortSignal,
  isAnswer: (received: Buffer) => boolean,
): Promise<Buffer> {
  const socket = connect({ host: server, port: PORT, signal });
  try {
    socket.write(framed(question));
    const received = await readFrame(socket);
    if (isAnswer(received)) return received;
    throw new Error('another answer than the one asked for');
  } finally {
    socket.on('error', () => undefined); // of a socket that nobody waits for any more
    socket.destroy();
  }
}
