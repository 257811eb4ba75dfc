import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { HyperError, messageOf } from '../errors.ts';
import { faultPoint } from '../faults/index.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type {
  AgentInfo,
  ConnectOptions,
  ContainerStart,
  GuestAgent,
  GuestContainerProcess,
  GuestDisk,
  GuestIdentity,
  GuestNetwork,
  GuestProcess,
  GuestProcessState,
  GuestService,
  GuestStats,
  OutputSink,
  ProcessSpec,
} from './agent.ts';
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
import { FromAgentSchema, type ProcessState, ToAgentSchema, type Welcome } from './gen/agent_pb.js';
import { guestText } from './guest-text.ts';
import { clamp, exitStatus, nowNs, processMessage, processState } from './messages.ts';
import { type Answer, MAX_CALLS, PendingCalls } from './pending-calls.ts';
import { type ProcessLink, RemoteProcess } from './process.ts';
import { containerMessage, DEVICE_TIMEOUT_MS, diskMessage } from './start-messages.ts';
import { guestProcess, guestStats } from './stats.ts';
import { UselessBytes } from './useless-bytes.ts';

const PROTOCOL = 1;
const DEFAULT_CALL_TIMEOUT_MS = 60_000;
/** A volume may be filled with all that an image has. */
const FILL_TIMEOUT_MS = 600_000;
const HELLO_INTERVAL_MS = 200;
const MAX_PROCESSES = 8192;
/** Stream ids have 32 bits, two of them for the stream. */
const MAX_PROCESS_ID = 2 ** 30 - 1;
const MIN_WINDOW_BYTES = 4096;
/** What we hold of a stream whose reader is slow. */
const MAX_WINDOW_BYTES = 1024 * 1024;
/** What we hold for a guest that does not read. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

type Call = MessageInitShape<typeof ToAgentSchema>['call'];
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

class Connection implements GuestAgent, ProcessLink {
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

  async configure({ hostname, machineId, network }: GuestIdentity): Promise<void> {
    const value = { entropy: randomBytes(64), realtimeNs: nowNs(), hostname, machineId, network };
    await this.#call({ case: 'configure', value });
  }

  async setClock(): Promise<void> {
    await this.#call({ case: 'setClock', value: { realtimeNs: nowNs() } });
  }

  async setHostname(hostname: string): Promise<void> {
    await this.#call({ case: 'setHostname', value: { hostname } });
  }

  async attachDisk(disk: GuestDisk): Promise<void> {
    await this.#call({ case: 'attachDisk', value: diskMessage(disk) });
  }

  async detachDisk(name: string): Promise<void> {
    await this.#call({ case: 'detachDisk', value: { name } });
  }

  async loadModules(disk: string): Promise<void> {
    await this.#call({ case: 'loadModules', value: { disk } });
  }

  async setServices(services: readonly GuestService[]): Promise<void> {
    const value = { services: services.map((service) => ({ ...service, backends: [...service.backends] })) };
    await this.#call({ case: 'setServices', value });
  }

  async mountShare(name: string, files: number): Promise<void> {
    await this.#call({ case: 'mountShare', value: { name, files, timeoutMs: DEVICE_TIMEOUT_MS } });
  }

  async addCard(network: GuestNetwork): Promise<void> {
    await this.#call({ case: 'addCard', value: { network, timeoutMs: DEVICE_TIMEOUT_MS } });
  }

  async removeCard(mac: string): Promise<void> {
    await this.#call({ case: 'removeCard', value: { mac } });
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
    const states: GuestProcessState[] = [];
    for (let after = 0, more = true; more; ) {
      const answer = await this.#call({ case: 'listProcesses', value: { after } });
      if (answer.case !== 'processList') throw this.#broken('list processes: wrong kind of answer');
      for (const state of answer.value.processes) {
        if (state.id <= after || state.id > MAX_PROCESS_ID || states.length >= MAX_PROCESSES)
          throw this.#broken('list processes: ids are not in order');
        after = state.id;
        this.#states.set(state.id, state);
        states.push(processState(state));
      }
      more = answer.value.more && answer.value.processes.length > 0;
    }
    return states;
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

  async removeContainer(
    containerId: string,
    { deleteUpper }: { readonly deleteUpper: boolean },
  ): Promise<void> {
    await this.#call({ case: 'removeContainer', value: { containerId, deleteUpper } });
  }

  async stats(): Promise<GuestStats> {
    const answer = await this.#call({ case: 'getStats', value: {} });
    if (answer.case !== 'stats') throw this.#broken('get stats: wrong kind of answer');
    return guestStats(answer.value);
  }

  async containerProcesses(containerId: string): Promise<GuestContainerProcess[]> {
    const found: GuestContainerProcess[] = [];
    for (let after = 0, more = true; more; ) {
      const answer = await this.#call({ case: 'listContainerProcesses', value: { containerId, after } });
      if (answer.case !== 'containerProcesses')
        throw this.#broken('list container processes: wrong kind of answer');
      const { processes } = answer.value;
      for (const process of processes) {
        if (process.agentPid <= after) throw this.#broken('list container processes: ids are not in order');
        after = process.agentPid;
        found.push(guestProcess(process));
      }
      more = answer.value.more && processes.length > 0 && found.length < MAX_PROCESSES;
    }
    return found;
  }

  async shutdown(): Promise<void> {
    await this.#call({ case: 'shutdown', value: {} });
  }

  async signal(processId: number, signal: number): Promise<void> {
    await this.#call({ case: 'signalProcess', value: { processId, signal } });
  }

  async resize(processId: number, rows: number, columns: number): Promise<void> {
    await this.#call({ case: 'resizeTty', value: { processId, rows, columns } });
  }

  async release(processId: number): Promise<void> {
    this.#processes.delete(processId);
    for (const stream of [processId * 4 + 1, processId * 4 + 2]) this.#acknowledgements.forget(stream);
    await this.#call({ case: 'releaseProcess', value: { processId } });
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
      await this.#call(call, timeoutMs);
      return process;
    } catch (error) {
      this.#processes.delete(id);
      throw error;
    }
  }

  #call(call: Call, timeoutMs = this.#callTimeoutMs): Promise<Answer> {
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
    if (which !== 1 && which !== 2) throw this.#broken(`data on stream ${stream}`);
    const isEnd = (flags & FLAG_EOF) !== 0;
    const isNews = process?.receive(which === 1 ? 'stdout' : 'stderr', offset, payload, isEnd) ?? false;
    if (!isNews) this.#useless.count(payload.length);
  }

  #handleAcknowledge({ stream, offset }: Frame): void {
    const isNews = stream % 4 === 0 && this.#processes.get(stream / 4)?.stdinTaken(offset);
    if (!isNews) this.#useless.count(0);
  }

  #handleControl(payload: Uint8Array): void {
    const message = fromBinary(FromAgentSchema, payload);
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

  #send(frame: Uint8Array): void {
    if (this.#reason) return;
    this.#stream.write(frame);
    if (this.#stream.writableLength > MAX_UNSENT_BYTES) this.#broken('it takes nothing of what it is sent');
  }

  #broken(what: string): HyperError {
    const error = new HyperError('machine', `the guest broke the protocol: ${what}`);
    this.close(error);
    return error;
  }
}
