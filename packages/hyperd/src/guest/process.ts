import { HyperError } from '../errors.ts';
import type { ExitStatus, GuestProcess, OutputSink, OutputStream } from './agent.ts';

/** What a process needs of its connection. */
export interface ProcessLink {
  sendData(stream: number, offset: number, chunk: Uint8Array, eof: boolean): void;
  /** Coalesced: the latest offset of a stream is sent soon. */
  sendAcknowledge(stream: number, offset: number, resume: boolean): void;
  signal(process: number, signal: number): Promise<void>;
  resize(process: number, rows: number, columns: number): Promise<void>;
  release(process: number): Promise<void>;
}

interface Incoming {
  /** Offset of the next byte that we expect. */
  next: number;
  acknowledged: number;
  ended: boolean;
  /** No byte from this offset on is accepted: set by the exit. */
  limit: number;
}

const MAX_STDIN_FRAME_BYTES = 32_768;
/** What may still come of each stream after a process has exited: what was in its pipe and in the agent's buffer. */
const MAX_LEFTOVER_BYTES = 4 * 1024 * 1024;

function incomingFrom(offset: number): Incoming {
  return { next: offset, acknowledged: offset, ended: false, limit: Number.POSITIVE_INFINITY };
}

/** The connection's side of one guest process: offsets and windows of its streams. Driven by the connection. */
export class RemoteProcess implements GuestProcess {
  readonly id: number;
  readonly #link: ProcessLink;
  readonly #sink: OutputSink;
  readonly #windowBytes: number;
  readonly #incoming: Record<OutputStream, Incoming>;
  readonly #exit = Promise.withResolvers<ExitStatus>();
  #stdinSent: number;
  #stdinAcknowledged: number;
  #stdinEnded = false;
  #stdinRoom: PromiseWithResolvers<void> | undefined;
  #lost: Error | undefined;

  constructor(
    id: number,
    sink: OutputSink,
    link: ProcessLink,
    windowBytes: number,
    start: { readonly stdin: number; readonly stdout: number; readonly stderr: number },
  ) {
    this.id = id;
    this.#sink = sink;
    this.#link = link;
    this.#windowBytes = windowBytes;
    this.#stdinSent = start.stdin;
    this.#stdinAcknowledged = start.stdin;
    this.#incoming = {
      stdout: incomingFrom(start.stdout),
      stderr: incomingFrom(start.stderr),
    };
    this.#exit.promise.catch(() => undefined); // nobody has to ask
  }

  get exited(): Promise<ExitStatus> {
    return this.#exit.promise;
  }

  acknowledge(stream: OutputStream, offset: number): void {
    const state = this.#incoming[stream];
    const bounded = Math.min(offset, state.next);
    if (bounded <= state.acknowledged || this.#lost) return;
    state.acknowledged = bounded;
    this.#link.sendAcknowledge(this.#streamId(stream), bounded, false);
  }

  async writeStdin(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#lost) throw this.#lost;
      if (this.#stdinEnded)
        throw new HyperError('precondition', `write to process ${this.id}: its stdin has ended`);
      const room = this.#windowBytes - (this.#stdinSent - this.#stdinAcknowledged);
      if (room <= 0) {
        this.#stdinRoom ??= Promise.withResolvers();
        await this.#stdinRoom.promise;
        continue;
      }
      const part = chunk.subarray(at, at + Math.min(room, MAX_STDIN_FRAME_BYTES));
      this.#link.sendData(this.id * 4, this.#stdinSent, part, false);
      this.#stdinSent += part.length;
      at += part.length;
    }
  }

  endStdin(): void {
    if (this.#stdinEnded || this.#lost) return;
    this.#stdinEnded = true;
    this.#link.sendData(this.id * 4, this.#stdinSent, new Uint8Array(), true);
    this.#wakeWriter();
  }

  signal(signal: number): Promise<void> {
    return this.#link.signal(this.id, signal);
  }

  resize(rows: number, columns: number): Promise<void> {
    return this.#link.resize(this.id, rows, columns);
  }

  release(): Promise<void> {
    return this.#link.release(this.id);
  }

  /**
   * Output from the guest; returns whether it said anything new. Throws `machine` when the guest breaks the window, leaves a gap, or goes on and on after
   * the process's end.
   */
  receive(stream: OutputStream, offset: number, payload: Uint8Array, eof: boolean): boolean {
    const state = this.#incoming[stream];
    if (state.ended) return false;
    const end = offset + payload.length;
    if (end > state.limit)
      throw new HyperError(
        'machine',
        `read ${stream} of process ${this.id}: guest sent more than ${MAX_LEFTOVER_BYTES} bytes after its exit`,
      );
    if (!Number.isSafeInteger(end) || offset > state.next || end > state.acknowledged + this.#windowBytes) {
      throw new HyperError(
        'machine',
        `read ${stream} of process ${this.id}: guest sent bytes ${offset} to ${end}, expected ${state.next} and at most ${this.#windowBytes} unacknowledged`,
      );
    }
    const isNew = end > state.next;
    if (isNew) {
      const fresh = payload.subarray(state.next - offset);
      state.next = end;
      this.#sink.data(stream, fresh, end);
    }
    if (eof && end === state.next) {
      state.ended = true;
      this.#sink.end(stream);
    }
    return isNew || state.ended;
  }

  /** Returns whether that was news. */
  stdinTaken(offset: number): boolean {
    const taken = Math.min(offset, this.#stdinSent);
    if (!Number.isSafeInteger(offset) || taken <= this.#stdinAcknowledged) return false;
    this.#stdinAcknowledged = taken;
    this.#wakeWriter();
    return true;
  }

  ended(status: ExitStatus): void {
    for (const state of Object.values(this.#incoming))
      state.limit = Math.min(state.limit, state.next + MAX_LEFTOVER_BYTES);
    this.#exit.resolve(status);
    this.#wakeWriter();
  }

  /** The connection has ended. */
  lose(reason: Error): void {
    this.#lost = reason;
    this.#exit.reject(reason);
    this.#wakeWriter();
  }

  #streamId(stream: OutputStream): number {
    return this.id * 4 + (stream === 'stdout' ? 1 : 2);
  }

  #wakeWriter(): void {
    this.#stdinRoom?.resolve();
    this.#stdinRoom = undefined;
  }
}
