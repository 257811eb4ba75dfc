import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { HyperError, messageOf } from '../errors.ts';
import { faultPoint } from '../faults/index.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type {
  AgentInfo,
  ConnectOptions,
  ContainerStart,
  GuestAgent,
  GuestProcess,
  GuestProcessState,
  OutputSink,
  ProcessSpec,
} from './agent.ts';
import { AgentCalls, type Call, MAX_PROCESSES } from './agent-calls.ts';
import {
  encodeFrame,
  FLAG_EOF,
  FLAG_RESUME,
  FLUSH,
  FRAME_ACK,
  FRAME_CONTROL,
  FRAME_DATA,
  type Frame,
  FrameDecoder,
  MAX_PAYLOAD_BYTES,
} from './frames.ts';
import {
  type FromAgent,
  FromAgentSchema,
  type ProcessState,
  ToAgentSchema,
  type Welcome,
} from './gen/agent_pb.js';
import { guestText } from './guest-text.ts';
import { clamp, exitStatus, processMessage, processState } from './messages.ts';
import { readPages } from './pages.ts';
import { type Answer, MAX_CALLS, PendingCalls } from './pending-calls.ts';
import { type ProcessLink, RemoteProcess } from './process.ts';
import { containerMessage } from './start-messages.ts';
import { UselessBytes } from './useless-bytes.ts';

const PROTOCOL = 1;
const DEFAULT_CALL_TIMEOUT_MS = 60_000;
/** A volume may be filled with all that an image has. */
const FILL_TIMEOUT_MS = 600_000;
const HELLO_INTERVAL_MS = 200;
/** Stream ids have 32 bits, two of them for the stream. */
const MAX_PROCESS_ID = 2 ** 30 - 1;
const MIN_WINDOW_BYTES = 4096;
/** What we hold of a stream whose reader is slow. */
const MAX_WINDOW_BYTES = 1024 * 1024;
/** What we hold for a guest that does not read. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** Shakes hands with the agent on `stream`; see `ConnectAgent`. */
export async function connectAgent(stream: Duplex, options: ConnectOptions): Promise<GuestAgent> {
  const connection = new Connection(stream, options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS);
  try {
    await connection.shakeHands(options);
    return connection;
  } catch (error) {
    connection.close(error instanceof Error ? error : new HyperError('machine', messageOf(error)));
    throw error;
  }
}

class Connection extends AgentCalls implements GuestAgent, ProcessLink {
  readonly #stream: Duplex;
  readonly #callTimeoutMs: number;
  readonly #decoder = new FrameDecoder();
  readonly #useless = new UselessBytes();
  readonly #calls = new PendingCalls();
  readonly #processes = new Map<number, RemoteProcess>();
  readonly #states = new Map<number, ProcessState>();
  readonly #acknowledgements = new Acknowledgements((stream, offset) => {
    this.#send(encodeFrame(FRAME_ACK, { stream, offset }));
  });
  readonly #closed = Promise.withResolvers<Error>();
  readonly #nonce = randomBytes(8).readBigUInt64LE();
  #welcome: PromiseWithResolvers<Welcome> | undefined = Promise.withResolvers();
  #info: AgentInfo | undefined;
  #lastCall = 0;
  #reason: Error | undefined;

  constructor(stream: Duplex, callTimeoutMs: number) {
    super();
    this.#stream = stream;
    this.#callTimeoutMs = callTimeoutMs;
    this.#welcome?.promise.catch(() => undefined); // shakeHands reports it
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    stream.on('error', (error) =>
      this.close(new HyperError('machine', `agent connection: ${error.message}`)),
    );
    stream.on('close', () =>
      this.close(new HyperError('machine', 'agent connection: closed by the machine')),
    );
    stream.on('end', () => this.close(new HyperError('machine', 'agent connection: closed by the machine')));
  }

  get info(): AgentInfo {
    if (!this.#info) throw new HyperError('internal', 'agent connection: used before the handshake');
    return this.#info;
  }

  get closed(): Promise<Error> {
    return this.#closed.promise;
  }

  async shakeHands({ handshakeTimeoutMs, resync, signal }: ConnectOptions): Promise<void> {
    const welcome = this.#welcome?.promise;
    const hello = (): void => {
      const message = create(ToAgentSchema, {
        id: 1,
        call: { case: 'hello', value: { protocol: PROTOCOL, nonce: this.#nonce } },
      });
      this.#send(encodeFrame(FRAME_CONTROL, {}, toBinary(ToAgentSchema, message)));
    };
    const failed = (error: Error): void => this.#welcome?.reject(error);
    const abort = (): void => failed(new HyperError('canceled', 'connect to guest agent: canceled'));
    const timeout = setTimeout(() => {
      failed(new HyperError('timeout', `connect to guest agent: no answer within ${handshakeTimeoutMs} ms`));
    }, handshakeTimeoutMs);
    const repeat = setInterval(hello, HELLO_INTERVAL_MS);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      if (resync) this.#send(FLUSH);
      hello();
      this.#accept(await (welcome as Promise<Welcome>));
    } finally {
      clearTimeout(timeout);
      clearInterval(repeat);
      signal?.removeEventListener('abort', abort);
      this.#welcome = undefined;
    }
    this.#lastCall = 1;
  }

  #accept(welcome: Welcome): void {
    if (welcome.protocol !== PROTOCOL) {
      throw new HyperError(
        'machine',
        `connect to guest agent: it speaks protocol ${welcome.protocol}, this hyperd ${PROTOCOL}`,
      );
    }
    if (welcome.window < MIN_WINDOW_BYTES || welcome.window > MAX_WINDOW_BYTES) {
      throw new HyperError('machine', `connect to guest agent: window of ${welcome.window} bytes`);
    }
    this.#info = {
      agentVersion: guestText(welcome.agentVersion),
      kernelRelease: guestText(welcome.kernelRelease),
      windowBytes: welcome.window,
      configured: welcome.configured,
    };
  }

  startContainer(start: ContainerStart, sink: OutputSink): Promise<GuestProcess> {
    const isFilled = start.mounts?.some(({ source }) => 'fill' in source && source.fill);
    const timeoutMs = isFilled ? FILL_TIMEOUT_MS : this.#callTimeoutMs;
    return this.#start(
      start.process.id,
      sink,
      { case: 'startContainer', value: containerMessage(start) },
      timeoutMs,
    );
  }

  startProcess(containerId: string, process: ProcessSpec, sink: OutputSink): Promise<GuestProcess> {
    const value = { containerId, process: processMessage(process) };
    return this.#start(process.id, sink, { case: 'startProcess', value });
  }

  async listProcesses(): Promise<GuestProcessState[]> {
    const states = await readPages<ProcessState>({
      ask: async (after) => {
        const { case: kind, value } = await this.call({ case: 'listProcesses', value: { after } });
        if (kind !== 'processList') throw this.broken('list processes: wrong kind of answer');
        return { items: value.processes, more: value.more };
      },
      idOf: ({ id }) => id,
      ...{ maxId: MAX_PROCESS_ID, maxCount: MAX_PROCESSES + 1 },
      outOfOrder: () => this.broken('list processes: ids are not in order'),
    });
    if (states.length > MAX_PROCESSES) throw this.broken(`list processes: more than ${MAX_PROCESSES}`);
    for (const state of states) this.#states.set(state.id, state);
    return states.map(processState);
  }

  async adoptProcess(
    { id, tty, exit }: GuestProcessState,
    offsets: { readonly stdout: number; readonly stderr: number },
    sink: OutputSink,
  ): Promise<GuestProcess> {
    const state = this.#states.get(id);
    if (!state) throw new HyperError('not-found', `adopt process ${id}: the guest has no such process`);
    const start = {
      stdin: Number(state.stdinReceived),
      stdout: clamp(offsets.stdout, state.stdoutStart, state.stdoutEnd),
      stderr: clamp(offsets.stderr, state.stderrStart, state.stderrEnd),
    };
    const process = new RemoteProcess(id, sink, this, this.info.windowBytes, start);
    this.#processes.set(id, process);
    this.sendAcknowledge(id * 4 + 1, start.stdout, true);
    if (!tty) this.sendAcknowledge(id * 4 + 2, start.stderr, true);
    if (exit) process.ended(exit);
    return process;
  }

  async release(processId: number): Promise<void> {
    this.#processes.delete(processId);
    for (const stream of [processId * 4 + 1, processId * 4 + 2]) this.#acknowledgements.forget(stream);
    await this.call({ case: 'releaseProcess', value: { processId } });
  }

  sendData(stream: number, offset: number, chunk: Uint8Array, eof: boolean): void {
    this.#send(encodeFrame(FRAME_DATA, { flags: eof ? FLAG_EOF : 0, stream, offset }, chunk));
  }

  sendAcknowledge(stream: number, offset: number, resume: boolean): void {
    if (resume) {
      this.#acknowledgements.begin(stream, offset);
      this.#send(encodeFrame(FRAME_ACK, { flags: FLAG_RESUME, stream, offset }));
    } else this.#acknowledgements.add(stream, offset, this.info.windowBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close(new HyperError('canceled', 'agent connection: closed by hyperd'));
  }

  /** Ends the connection, and with it everything that waits on it. Repeatable: the first reason stays. */
  close(reason: Error): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#acknowledgements.drop();
    this.#stream.destroy();
    this.#welcome?.reject(reason);
    this.#calls.fail(reason);
    for (const process of this.#processes.values()) process.lose(reason);
    this.#processes.clear();
    this.#closed.resolve(reason);
  }

  async #start(
    id: number,
    sink: OutputSink,
    call: Call,
    timeoutMs = this.#callTimeoutMs,
  ): Promise<GuestProcess> {
    if (this.#processes.has(id)) throw new HyperError('conflict', `start process ${id}: the id is taken`);
    const start = { stdin: 0, stdout: 0, stderr: 0 };
    const process = new RemoteProcess(id, sink, this, this.info.windowBytes, start);
    this.#processes.set(id, process);
    try {
      await this.call(call, timeoutMs);
      return process;
    } catch (error) {
      this.#processes.delete(id);
      throw error;
    }
  }

  protected call(call: Call, timeoutMs = this.#callTimeoutMs): Promise<Answer> {
    const name = call?.case ?? 'call';
    if (this.#reason) return Promise.reject(this.#reason);
    faultPoint(`guest ${name}`);
    const id = ++this.#lastCall;
    const message = toBinary(ToAgentSchema, create(ToAgentSchema, { id, call }));
    if (message.length > MAX_PAYLOAD_BYTES) {
      return Promise.reject(
        new HyperError(
          'limit',
          `${name}: ${message.length} bytes of arguments, environment and files; at most ${MAX_PAYLOAD_BYTES}`,
        ),
      );
    }
    if (this.#calls.isFull) {
      return Promise.reject(new HyperError('limit', `${name}: ${MAX_CALLS} calls are waiting`));
    }
    const answer = this.#calls.wait(id, name, timeoutMs);
    this.#send(encodeFrame(FRAME_CONTROL, {}, message));
    return answer;
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#reason) return;
        this.#handle(frame);
      }
      const skipped = this.#decoder.takeSkippedBytes();
      if (skipped > 0 && this.#info) this.#useless.count(skipped);
    } catch (error) {
      this.close(
        error instanceof HyperError
          ? error
          : new HyperError('machine', `agent connection: ${messageOf(error)}`, { cause: error }),
      );
    }
  }

  #handle(frame: Frame): void {
    if (frame.type === FRAME_CONTROL) this.#handleControl(frame.payload);
    else if (!this.#info)
      return; // left over from an earlier connection
    else if (frame.type === FRAME_ACK) this.#handleAcknowledge(frame);
    else this.#handleData(frame);
  }

  #handleData({ stream, offset, payload, flags }: Frame): void {
    const process = this.#processes.get(Math.floor(stream / 4));
    const which = stream % 4;
    if (which !== 1 && which !== 2) throw this.broken(`data on stream ${stream}`);
    const isEnd = (flags & FLAG_EOF) !== 0;
    const isNews = process?.receive(which === 1 ? 'stdout' : 'stderr', offset, payload, isEnd) ?? false;
    if (!isNews) this.#useless.count(payload.length);
  }

  #handleAcknowledge({ stream, offset }: Frame): void {
    const isNews = stream % 4 === 0 && this.#processes.get(stream / 4)?.stdinTaken(offset);
    if (!isNews) this.#useless.count(0);
  }

  #handleControl(payload: Uint8Array): void {
    const message = this.#decode(payload);
    const { body } = message;
    if (body.case === 'welcome') {
      if (body.value.nonce === this.#nonce) this.#welcome?.resolve(body.value);
      if (this.#info) this.#useless.count(payload.length);
      return;
    }
    if (!this.#info) return;
    if (body.case === 'processExited') {
      const { processId, exitCode, signal, exitedAtNs, outOfMemory } = body.value;
      const process = this.#processes.get(processId);
      process?.ended(exitStatus(exitCode, signal, exitedAtNs, outOfMemory));
      this.#useless.count(0); // one for each process: more are none
      return;
    }
    // One that nobody waits for has timed out, or nobody ever asked.
    if (!this.#calls.settle(message)) this.#useless.count(payload.length);
  }

  #decode(payload: Uint8Array): FromAgent {
    try {
      return fromBinary(FromAgentSchema, payload);
    } catch (error) {
      throw this.broken(`a message that is none: ${messageOf(error)}`);
    }
  }

  #send(frame: Uint8Array): void {
    if (this.#reason) return;
    this.#stream.write(frame);
    if (this.#stream.writableLength > MAX_UNSENT_BYTES) this.broken('it takes nothing of what it is sent');
  }

  protected broken(what: string): HyperError {
    const error = new HyperError('machine', `the guest broke the protocol: ${what}`);
    this.close(error);
    return error;
  }
}
