import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HyperError, messageOf } from '../../errors.ts';
import { faultPoint } from '../../faults/index.ts';
import { guestText } from '../../guest/index.ts';
import { descriptorPath, O_PATH } from './descriptors.ts';

const COMMAND_TIMEOUT_MS = 10_000;
/** A QEMU that a guest has taken over may send anything: no line is held beyond this. */
const MAX_LINE_BYTES = 1024 * 1024;
const RETRY_MS = 3;

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

interface Waiter {
  readonly matches: (event: QmpEvent) => boolean;
  readonly resolve: (event: QmpEvent) => void;
  readonly reject: (error: Error) => void;
}

/**
 * QEMU's control connection (QEMU Machine Protocol). Made by `connectQmp`; ended by `close` or by QEMU. Commands reject with `machine`,
 * or `timeout` when QEMU does not answer.
 */
export class Qmp {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closed = Promise.withResolvers<void>();
  #buffer = '';
  #lastId = 0;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#end(new HyperError('machine', `QMP: ${error.message}`)));
    socket.on('close', () => this.#end(new HyperError('machine', 'QMP: closed by QEMU')));
  }

  /** Resolves when the connection has ended, whoever ended it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.add(listener);
  }

  execute(command: string, args: object = {}, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      faultPoint(`qmp ${command}`); // in here, where it rejects
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new HyperError('timeout', `QMP ${command}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { command, resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  /** The next event that `matches`; ask before the command that causes it. */
  async event(matches: (event: QmpEvent) => boolean, timeoutMs = COMMAND_TIMEOUT_MS): Promise<QmpEvent> {
    if (this.#failure) throw this.#failure;
    const found = Promise.withResolvers<QmpEvent>();
    const waiter: Waiter = { matches, resolve: found.resolve, reject: found.reject };
    const timer = setTimeout(
      () =>
        found.reject(new HyperError('timeout', `QMP: the awaited event did not come within ${timeoutMs} ms`)),
      timeoutMs,
    );
    this.#waiters.add(waiter);
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  close(): void {
    this.#socket.destroy();
    this.#end(new HyperError('machine', 'QMP: closed by hyperd'));
  }

  #receive(text: string): void {
    this.#buffer += text;
    for (let end = this.#buffer.indexOf('\n'); end >= 0; end = this.#buffer.indexOf('\n')) {
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
      this.#handle(line);
    }
    if (this.#buffer.length > MAX_LINE_BYTES) this.#fail(`a line of more than ${MAX_LINE_BYTES} bytes`);
  }

  #handle(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch (error) {
      this.#fail(messageOf(error));
      return;
    }
    if (typeof message !== 'object' || message === null) this.#fail('a line that is no object');
    else if (typeof message.event === 'string') this.#announce(message.event, message.data);
    else if (typeof message.id === 'number') this.#answer(message.id, message);
  }

  #announce(event: string, data: unknown): void {
    const announced = { event, data: (data ?? {}) as Record<string, unknown> };
    for (const listener of this.#listeners) listener(announced);
    for (const waiter of [...this.#waiters]) if (waiter.matches(announced)) waiter.resolve(announced);
  }

  #answer(id: number, message: Record<string, unknown>): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (message.error === undefined) {
      pending.resolve(message.return);
      return;
    }
    const { desc } = message.error as { desc?: unknown };
    pending.reject(new HyperError('machine', `QMP ${pending.command}: ${guestText(String(desc))}`));
  }

  #fail(what: string): void {
    this.#socket.destroy();
    this.#end(new HyperError('machine', `QMP: QEMU sent ${what}`));
  }

  #end(reason: Error): void {
    if (this.#failure) return;
    this.#failure = reason;
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(reason);
    }
    this.#pending.clear();
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#closed.resolve();
  }
}

/** Connects to QEMU's socket, which may not be there yet. `alive` tells when waiting is of no use any more. */
export async function connectQmp(path: string, timeoutMs: number, alive: () => boolean): Promise<Qmp> {
  const qmp = new Qmp(await connectUnix(path, timeoutMs, alive));
  try {
    await qmp.execute('qmp_capabilities');
    return qmp;
  } catch (error) {
    qmp.close();
    throw error;
  }
}

/** A connection to a unix socket that appears within `timeoutMs`. Rejects `machine` or `timeout`. */
export async function connectUnix(path: string, timeoutMs: number, alive: () => boolean): Promise<Socket> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await tryConnect(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ECONNREFUSED')
        throw new HyperError('machine', `connect to ${path}: ${messageOf(error)}`);
    }
    if (!alive()) throw new HyperError('machine', 'QEMU ended at its start');
    if (performance.now() > deadline)
      throw new HyperError('timeout', `connect to ${path}: not within ${timeoutMs} ms`);
    await sleep(RETRY_MS);
  }
}

/** A machine's process can put a link to another one's socket into its directory: none is followed. */
async function tryConnect(path: string): Promise<Socket> {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(fd).isSocket()) throw new HyperError('machine', 'it is no socket');
    return await connected(descriptorPath(fd));
  } finally {
    closeSync(fd);
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
