import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';

const ANSWER_TIMEOUT_MS = 60_000;

export interface RestReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface RestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** How the body's bytes become text (default: utf8). */
  readonly encoding?: BufferEncoding;
}

/** One call of the API over its socket: `GET /list?item=pod`. A JSON body says so itself where no header does. */
export function rest(socketPath: string, line: string, options: RestOptions = {}): Promise<RestReply> {
  const [method = '', path = ''] = line.split(' ');
  const { body, headers = {}, encoding = 'utf8' } = options;
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, headers, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(encoding),
        }),
      );
    });
    call.on('error', reject);
    call.on('timeout', () => call.destroy(new Error(`no answer to ${line}`)));
    call.end(body);
  });
}

/** A connection that one request takes over. */
export class RestSession {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  readonly #ended: Promise<unknown>;

  /** Sends `POST path` with the headers as given, as its connection's first request. */
  constructor(socketPath: string, path: string, headers: readonly string[] = []) {
    this.socket = connect({ path: socketPath, allowHalfOpen: true });
    this.#ended = once(this.socket, 'end');
    this.#ended.catch(() => undefined); // told to who waits for it
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.socket.write([`POST ${path} HTTP/1.1`, 'Host: h', ...headers, '', ''].join('\r\n'));
  }

  /** What has come so far, byte for character. */
  get text(): string {
    return this.#received.toString('latin1');
  }

  /** Waits until what has come fits; fails when the session ends before, or nothing more comes. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      if (this.socket.readableEnded) throw new Error(`ended before ${pattern}: ${JSON.stringify(this.text)}`);
      await this.#next(`wait for ${pattern}`);
    }
    return this.text;
  }

  /** Ends our side, and resolves with everything when the daemon has ended its own. */
  async end(input = ''): Promise<string> {
    this.socket.end(input);
    return this.all();
  }

  /** Everything, once the daemon has ended its side. */
  async all(): Promise<string> {
    while (!this.socket.readableEnded) await this.#next('wait for the end');
    this.socket.destroy();
    return this.text;
  }

  /** Waits for more, or the end. */
  async #next(what: string): Promise<void> {
    const silence = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.socket.destroy();
      silence.reject(new Error(`${what}: silent after ${JSON.stringify(this.text)}`));
    }, ANSWER_TIMEOUT_MS);
    try {
      await Promise.race([once(this.socket, 'data'), this.#ended, silence.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The 101 answer of every hijacked route, to the byte. */
export const UPGRADED =
  'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';

/** A frame of Docker's multiplexed streams. */
export function frame(stream: 1 | 2, text: string): string {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(text.length, 4);
  return header.toString('latin1') + text;
}

/** The texts of a multiplexed stream: what was written to stdout and to stderr. */
export function unframed(bytes: string): { readonly stdout: string; readonly stderr: string } {
  const texts = { stdout: '', stderr: '' };
  const all = Buffer.from(bytes, 'latin1');
  for (let at = 0; at < all.length; ) {
    const [stream, length] = [all.readUInt8(at), all.readUInt32BE(at + 4)];
    if (stream !== 1 && stream !== 2)
      throw new Error(`stream ${stream} at ${at} of ${JSON.stringify(bytes)}`);
    texts[stream === 1 ? 'stdout' : 'stderr'] += all.toString('latin1', at + 8, at + 8 + length);
    at += 8 + length;
  }
  return texts;
}
