import { HyperError } from '../errors.ts';
import type { GuestProcess, OutputSink, OutputStream } from '../guest/index.ts';
import type { StreamOffsets } from './pod-records.ts';
import type { ClientStreams } from './pod-service.ts';

/** Where a session's output is kept, besides going to clients. Offsets are the log's own, growing over all runs. */
export interface OutputLog {
  append(stream: OutputStream, chunk: Uint8Array, endOffset: number): void;
  finish(stream: OutputStream): void;
}

/** How long a client may take nothing while others wait for it, in ms. */
const STALL_MS = 30_000;
/** How long one may take nothing of what a process that has ended has left, in ms. */
const LEFTOVER_MS = 600_000;

interface Subscriber {
  readonly client: ClientStreams;
  readonly queue: { readonly stream: OutputStream; readonly chunk: Uint8Array; readonly end: number }[];
  readonly written: Record<OutputStream, number>;
  readonly left: PromiseWithResolvers<void>;
  pumping: boolean;
  /** Runs while a write to the client is under way that nothing has come of. */
  stall: NodeJS.Timeout | undefined;
}

const NOTHING: StreamOffsets = { stdout: 0, stderr: 0 };

/**
 * One process's input and output, shared between its log and any number of attached clients. Bytes are acknowledged to the guest when
 * the log has them on disk and every attached client has taken them: a client that stops reading holds up this process
 * only, as the reader of a pipe does, and what is held in memory for it never passes the stream's window. It does so for as long as it likes while it is
 * alone. Where others are attached as well, one that takes nothing for 30 s is put off, so that they go on.
 * Made by a container or exec before its process; ended by the process's streams ending, or by `abandon`.
 */
export class Session implements OutputSink {
  readonly #tty: boolean;
  #log: OutputLog | undefined;
  #base: StreamOffsets = NOTHING;
  readonly #received: Record<OutputStream, number> = { ...NOTHING };
  readonly #durable: Record<OutputStream, number> = { ...NOTHING };
  readonly #open: Set<OutputStream>;
  readonly #subscribers = new Set<Subscriber>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #bound = Promise.withResolvers<GuestProcess>();
  #process: GuestProcess | undefined;
  #draining = false;

  constructor(options: { readonly tty: boolean }) {
    this.#tty = options.tty;
    this.#open = new Set(options.tty ? ['stdout'] : ['stdout', 'stderr']);
    this.#bound.promise.catch(() => undefined); // a process that never starts is reported by who started it
  }

  get hasEnded(): boolean {
    return this.#open.size === 0;
  }

  /** Told of the first output that comes from now on. */
  onOutput: (() => void) | undefined;

  /**
   * Keeps the output in `log` from now on; called before the process is started or adopted. `base`: log offsets at which this
   * process's output begins; `resumeAt`: process offsets below which an earlier daemon has logged it.
   */
  keepIn(log: OutputLog, base: StreamOffsets, resumeAt: StreamOffsets = NOTHING): void {
    this.#log = log;
    this.#base = base;
    Object.assign(this.#received, resumeAt);
    Object.assign(this.#durable, resumeAt);
  }

  /** Resolves when the process's streams have ended and all of it was handed to log and clients. */
  get outputEnded(): Promise<void> {
    return this.#ended.promise;
  }

  /** The process has been started: input may flow, output be acknowledged. */
  bind(process: GuestProcess): void {
    this.#process = process;
    this.#bound.resolve(process);
    this.#acknowledge('stdout');
    this.#acknowledge('stderr');
  }

  data(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    this.onOutput?.();
    this.onOutput = undefined;
    const copy = Buffer.from(chunk);
    this.#received[stream] = endOffset;
    for (const subscriber of this.#subscribers) {
      subscriber.queue.push({ stream, chunk: copy, end: endOffset });
      this.#pump(subscriber);
    }
    this.#log?.append(stream, copy, this.#base[stream] + endOffset);
    this.#acknowledge(stream);
  }

  end(stream: OutputStream): void {
    if (!this.#open.delete(stream)) return;
    this.#log?.finish(stream);
    if (this.#open.size === 0) this.#finish();
  }

  /** The log has everything of `stream` below `logOffset` on disk. */
  durable(stream: OutputStream, logOffset: number): void {
    this.#durable[stream] = Math.max(this.#durable[stream], logOffset - this.#base[stream]);
    this.#acknowledge(stream);
  }

  /**
   * The process has exited: what it left is small and bounded, so clients that do not read hold it up no longer.
   */
  drain(): void {
    this.#draining = true;
    for (const subscriber of this.#subscribers) if (subscriber.pumping) this.#watch(subscriber);
    this.#acknowledge('stdout');
    this.#acknowledge('stderr');
  }

  /** The process is lost, or never came to be: ends the output where it is. Repeatable. */
  abandon(reason: string): void {
    this.#bound.reject(new HyperError('machine', reason));
    for (const stream of [...this.#open]) this.end(stream);
  }

  /**
   * Joins a client to the process: output from now on, its input to stdin. Resolves when all output has been written to it, or when it
   * has gone; the process goes on in that case.
   */
  async attach(client: ClientStreams): Promise<void> {
    const subscriber: Subscriber = {
      client,
      queue: [],
      written: { ...this.#received },
      left: Promise.withResolvers(),
      pumping: false,
      stall: undefined,
    };
    const leave = (): void => this.#leave(subscriber);
    client.signal.addEventListener('abort', leave, { once: true });
    if (client.signal.aborted) return;
    if (this.#open.size > 0) this.#subscribers.add(subscriber);
    else subscriber.left.resolve();
    void this.#forwardInput(subscriber);
    try {
      await subscriber.left.promise;
    } finally {
      client.signal.removeEventListener('abort', leave);
    }
  }

  async #forwardInput(subscriber: Subscriber): Promise<void> {
    try {
      const process = await this.#bound.promise;
      for await (const chunk of subscriber.client.input) {
        if (!this.#subscribers.has(subscriber)) return;
        await process.writeStdin(chunk);
      }
      if (!this.#tty && this.#subscribers.has(subscriber)) process.endStdin();
    } catch {
      return; // client or process is gone: what that means is told by the session's output, and by its end
    }
  }

  #pump(subscriber: Subscriber): void {
    if (subscriber.pumping) return;
    subscriber.pumping = true;
    void this.#writeAll(subscriber);
  }

  async #writeAll(subscriber: Subscriber): Promise<void> {
    try {
      for (let next = subscriber.queue.shift(); next; next = subscriber.queue.shift()) {
        this.#watch(subscriber);
        await subscriber.client.write(next.stream, next.chunk);
        clearTimeout(subscriber.stall);
        subscriber.written[next.stream] = next.end;
        this.#acknowledge(next.stream);
      }
      subscriber.pumping = false;
      if (this.#open.size === 0) this.#leave(subscriber);
    } catch {
      this.#leave(subscriber); // the client's connection is gone, which is all that a failed write can mean
    }
  }

  /** Puts a client off that takes nothing, once others have waited long enough for it. */
  #watch(subscriber: Subscriber): void {
    clearTimeout(subscriber.stall);
    const wait = this.#draining ? LEFTOVER_MS : STALL_MS;
    subscriber.stall = setTimeout(() => {
      if (!this.#draining && this.#subscribers.size < 2) this.#watch(subscriber);
      else this.#putOff(subscriber, wait);
    }, wait);
    subscriber.stall.unref();
  }

  #putOff(subscriber: Subscriber, waitedMs: number): void {
    const seconds = waitedMs / 1000;
    subscriber.left.reject(
      new HyperError('timeout', `attach: the client has taken no output for ${seconds} s; it is detached`),
    );
    this.#leave(subscriber);
  }

  #leave(subscriber: Subscriber): void {
    clearTimeout(subscriber.stall);
    this.#subscribers.delete(subscriber);
    subscriber.queue.length = 0;
    subscriber.left.resolve();
    this.#acknowledge('stdout');
    this.#acknowledge('stderr');
  }

  #finish(): void {
    for (const subscriber of [...this.#subscribers]) {
      if (!subscriber.pumping) this.#leave(subscriber);
    }
    this.#ended.resolve();
  }

  #acknowledge(stream: OutputStream): void {
    if (!this.#process) return;
    let offset = this.#log ? this.#durable[stream] : this.#received[stream];
    if (!this.#draining) {
      for (const subscriber of this.#subscribers) offset = Math.min(offset, subscriber.written[stream]);
    }
    this.#process.acknowledge(stream, offset);
  }
}

/** Time for what an ended process left in its pipes to arrive, in ms. */
const OUTPUT_GRACE_MS = 30_000;

/** Resolves when the output of an ended process is complete; a guest that never says so is not waited for longer than the grace. */
export async function endOfOutput(session: Session): Promise<void> {
  const timer = setTimeout(() => session.abandon('the output did not end with its process'), OUTPUT_GRACE_MS);
  try {
    await session.outputEnded;
  } finally {
    clearTimeout(timer);
  }
}
