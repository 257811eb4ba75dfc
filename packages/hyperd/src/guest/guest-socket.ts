import { HyperError } from '../errors.ts';
import type { GuestProcess, OutputSink, OutputStream } from './agent.ts';
import type { StartBuiltin } from './builtins.ts';
import { guestText } from './guest-text.ts';

const HEADER_BYTES = 8;
const MAX_PAYLOAD_BYTES = 32_768;
const MAX_CONNECTIONS = 16;
/** What a connection may have sent without being read, in bytes; beyond that it is ended. */
const MAX_WAITING_BYTES = 1 << 20;
const MAX_SAID = 500;
/** How long the guest may take to end its socket by itself, in ms. */
const END_GRACE_MS = 1_000;
const SIGKILL = 9;

export interface GuestSocketPlace {
  /** `DISK/NAME` in the guest: a bind of a container can have it as its source. */
  readonly source: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A program of the guest that has connected to the socket. */
export interface GuestConnection {
  /** What the program sends; ends when it has closed. To be read once. */
  readonly input: AsyncIterable<Buffer>;
  /** Resolves when more may come. */
  write(bytes: Uint8Array): Promise<void>;
  /** Aborted when the connection has ended. */
  readonly signal: AbortSignal;
}

/**
 * Listens on a unix socket in the guest (SOCKET in guest/agent.proto); resolves when programs can connect to it. `start` starts the process outside of all
 * containers. `serve` is called for every connection, which ends when it is done or fails. Disposing ends the socket and all its connections.
 */
export async function openGuestSocket(
  start: StartBuiltin,
  { source, mode, uid, gid }: GuestSocketPlace,
  serve: (connection: GuestConnection) => Promise<void>,
): Promise<AsyncDisposable> {
  const relay = new SocketRelay(serve);
  const args = [source, mode.toString(8), `${uid}`, `${gid}`];
  const { process, release } = await start({ args, builtin: 'socket' }, relay);
  relay.bind(process);
  const end = async (): Promise<void> => {
    relay.end();
    process.endStdin();
    const timer = setTimeout(() => process.signal(SIGKILL).catch(() => undefined), END_GRACE_MS);
    try {
      await process.exited;
      await release();
    } finally {
      clearTimeout(timer);
    }
  };
  const failed = process.exited.then(() => {
    throw new HyperError('machine', `listen on a socket in the guest: ${relay.said || 'it has ended'}`);
  });
  failed.catch(() => undefined); // of no interest once it listens
  try {
    await Promise.race([relay.listening, failed]);
  } catch (error) {
    await end().catch(() => undefined); // the machine is gone: the first error tells it
    throw error;
  }
  return { [Symbol.asyncDispose]: end };
}

class SocketRelay implements OutputSink {
  said = '';
  readonly #serve: (connection: GuestConnection) => Promise<void>;
  readonly #connections = new Map<number, Connection>();
  readonly #listening = Promise.withResolvers<void>();
  #process: GuestProcess | undefined;
  readonly #offsets: Partial<Record<OutputStream, number>> = {};
  #rest = Buffer.alloc(0);
  #lastConnection = 0;
  #isBroken = false;
  /** Frames go whole, one behind the other. */
  #sending: Promise<void> = Promise.resolve();

  constructor(serve: (connection: GuestConnection) => Promise<void>) {
    this.#serve = serve;
    this.#listening.promise.catch(() => undefined); // told to whoever waits for it
  }

  get listening(): Promise<void> {
    return this.#listening.promise;
  }

  bind(process: GuestProcess): void {
    this.#process = process;
    for (const [stream, offset] of Object.entries(this.#offsets))
      process.acknowledge(stream as OutputStream, offset);
    process.exited.then(
      () => this.end(),
      () => this.end(),
    );
  }

  data(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    if (this.#isBroken) return;
    if (stream === 'stdout') this.#take(Buffer.concat([this.#rest, chunk]));
    else this.said = guestText((this.said + Buffer.from(chunk).toString('latin1')).slice(0, MAX_SAID));
    this.#offsets[stream] = endOffset;
    this.#process?.acknowledge(stream, endOffset);
  }

  end(): void {
    for (const id of [...this.#connections.keys()]) this.#close(id);
  }

  #take(bytes: Buffer): void {
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const [id, size] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
      if (size > MAX_PAYLOAD_BYTES) {
        this.#broken(`a frame of ${size} bytes`);
        return;
      }
      if (bytes.length - at < HEADER_BYTES + size) break;
      this.#frame(id, bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + size));
      at += HEADER_BYTES + size;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  #frame(id: number, payload: Buffer): void {
    if (id === 0) {
      this.#listening.resolve();
    } else if (payload.length === 0) {
      this.#close(id);
    } else {
      if (id > this.#lastConnection) this.#open(id);
      if (this.#connections.get(id)?.push(Buffer.from(payload)) === false) this.#drop(id);
    }
  }

  #open(id: number): void {
    this.#lastConnection = id;
    if (this.#connections.size >= MAX_CONNECTIONS) {
      this.#drop(id);
      return;
    }
    const connection = new Connection((bytes) => this.#send(id, bytes));
    this.#connections.set(id, connection);
    // Whatever the reason, the program sees that nobody answers.
    this.#serve(connection).then(
      () => this.#drop(id),
      () => this.#drop(id),
    );
  }

  /** Ends a connection from this side. */
  #drop(id: number): void {
    this.#close(id);
    this.#send(id, Buffer.alloc(0)).catch(() => undefined); // the guest is gone, and the connection with it
  }

  #close(id: number): void {
    this.#connections.get(id)?.close();
    this.#connections.delete(id);
  }

  #send(id: number, bytes: Uint8Array): Promise<void> {
    const frames: Buffer[] = [];
    for (let at = 0; at === 0 || at < bytes.length; at += MAX_PAYLOAD_BYTES) {
      const part = bytes.subarray(at, at + MAX_PAYLOAD_BYTES);
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32LE(id, 0);
      header.writeUInt32LE(part.length, 4);
      frames.push(header, Buffer.from(part));
    }
    const sent = this.#sending.then(() => this.#process?.writeStdin(Buffer.concat(frames)));
    this.#sending = sent.catch(() => undefined);
    return sent;
  }

  /** What breaks the protocol is not listened to any more. */
  #broken(what: string): void {
    this.#isBroken = true;
    this.#listening.reject(
      new HyperError('machine', `the guest broke the protocol: its socket sent ${what}`),
    );
    this.end();
    this.#process?.endStdin();
  }
}

class Connection implements GuestConnection {
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly #gone = new AbortController();
  readonly #pieces: Buffer[] = [];
  #waitingBytes = 0;
  #arrived = Promise.withResolvers<void>();

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.write = write;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get input(): AsyncIterable<Buffer> {
    return this.#read();
  }

  /** False: it is too much. */
  push(bytes: Buffer): boolean {
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) return false;
    this.#pieces.push(bytes);
    this.#arrived.resolve();
    return true;
  }

  close(): void {
    this.#gone.abort();
    this.#arrived.resolve();
  }

  async *#read(): AsyncGenerator<Buffer> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece) {
        this.#waitingBytes -= piece.length;
        yield piece;
      } else if (this.signal.aborted) {
        return;
      } else {
        this.#arrived = Promise.withResolvers();
        await this.#arrived.promise;
      }
    }
  }
}
