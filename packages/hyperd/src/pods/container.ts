import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import {
  type BuiltinRun,
  CommandError,
  type ExitStatus,
  type GuestAgent,
  type GuestProcess,
  type GuestProcessState,
  layerTar,
  MOUNT_STUBS,
  type OutputSink,
  type ProcessSpec,
  type StartBuiltin,
} from '../guest/index.ts';
import type { Logger } from '../logger.ts';
import { untilAborted } from './cancel.ts';
import type { ContainerLog, ContainerLogs } from './container-log.ts';
import type { Exec } from './exec.ts';
import { ExecTable } from './exec-table.ts';
import { type ContainerState, LOST_EXIT_CODE } from './lifecycle.ts';
import type { ContainerRecord, PodRecords, StreamOffsets } from './pod-records.ts';
import type { ClientStreams, ContainerView } from './pod-service.ts';
import { planRestart } from './restart.ts';
import { endOfOutput, Session } from './session.ts';
import type { PodSpec } from './spec/pod-spec.ts';
import { builtinOf, processOf, type StartPlace, startOf } from './start-spec.ts';
import { imageVolumesOf } from './volume-plan.ts';

/** How long SIGKILL may take, in ms, before the container counts as stuck. */
const KILL_GRACE_MS = 10_000;
const SIGKILL = 9;

export interface ContainerContext {
  readonly records: PodRecords;
  readonly logs: ContainerLogs;
  readonly podSpec: () => PodSpec;
  readonly logger: Logger;
  readonly events: Events;
  /** The container has ended, and its state is recorded. */
  readonly onExit: (container: Container) => void;
}

/**
 * One container of a pod: its record, its current or next session, its execs. Owned by its pod, which serializes start, adopt
 * and loss; attach, wait and exec may come at any time.
 */
export class Container {
  #record: ContainerRecord;
  readonly #context: ContainerContext;
  readonly execs: ExecTable;
  #session: Session;
  #log: ContainerLog | undefined;
  #process: GuestProcess | undefined;
  /** Somebody asked it to end: its restart policy does not count then. */
  #isAsked = false;
  /** Of the latest start that failed. */
  #startFailure: unknown;
  /** Resolved, and made anew, whenever it ends. */
  #ended = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(record: ContainerRecord, context: ContainerContext) {
    this.#record = record;
    this.#context = context;
    this.#session = new Session({ tty: record.spec.tty });
    this.execs = new ExecTable({ id: record.id, name: () => this.#record.name }, context.records.execs);
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  get state(): ContainerState {
    return this.#record.state;
  }

  get isRunning(): boolean {
    return this.#record.state.phase === 'running';
  }

  view(): ContainerView {
    const { id, podId, name, spec, imageId, state, createdAt, run } = this.#record;
    return {
      ...{ id, podId, name, spec, imageId, state, createdAt: new Date(createdAt), tty: spec.tty },
      ...{ args: run.args, env: run.env, workingDir: run.cwd },
      imageVolumes: imageVolumesOf(this.#record),
    };
  }

  rename(name: string): void {
    const oldName = this.#record.name;
    this.#save({ name, spec: { ...this.#record.spec, name } });
    this.#context.events.container(this.#record, 'rename', { oldName });
  }

  /** Starts its init. A command that cannot be run ends the container with 126 or 127 and rejects with the reason. */
  async start(place: StartPlace, onOutput?: () => void): Promise<void> {
    const session = this.#nextSession();
    session.onOutput = onOutput;
    try {
      const log = this.#openLog();
      const logBase = log.offsets();
      session.keepIn(log, logBase);
      this.#save({ processId: place.processId, logBase });
      this.#isAsked = false;
      const wasRestarted = this.#restarts;
      const process = await place.agent.startContainer(startOf(this.#record, place), session);
      this.#save({ state: { phase: 'running', startedAt: Date.now(), restarts: wasRestarted } });
      this.#context.events.container(this.#record, 'start');
      session.bind(process);
      this.#watch(process, place.agent, session);
    } catch (error) {
      this.failStart(error);
      throw error;
    }
  }

  /** Its start has failed, here or on the way here: it ends with that. Repeatable. */
  failStart(error: unknown): void {
    if (this.#startFailure === error) return;
    this.#startFailure = error;
    const exitCode = error instanceof CommandError ? error.exitCode : 125;
    this.#session.abandon(`start container "${this.#record.name}": ${messageOf(error)}`);
    // What has never run is not tried again: its error goes to whoever asked.
    if (this.#restarts === 0) this.#isAsked = true;
    this.#finish({ exitCode, signal: 0, startedAt: undefined, message: messageOf(error) });
  }

  /**
   * Runs a built-in process on its files: in the running container, or, where it does not run, as what takes the place of its init for that time.
   * The pod sees to it that nothing else starts it meanwhile.
   */
  async startBuiltin(
    place: StartPlace,
    builtin: Parameters<StartBuiltin>[0],
    sink: OutputSink,
  ): Promise<BuiltinRun> {
    const process = builtinOf(place.processId, builtin);
    const { id } = this.#record;
    if (this.isRunning) {
      const started = await place.agent.startProcess(id, process, sink);
      return { process: started, release: () => started.release() };
    }
    const start = { ...startOf(this.#record, place), readOnlyRootfs: false, sysctls: {}, process };
    const started = await place.agent.startContainer(start, sink);
    return {
      process: started,
      release: async () => {
        await Promise.all([started.release(), place.agent.removeContainer(id, { deleteUpper: false })]);
      },
    };
  }

  /** What it has changed of its image, as the tar of a layer; `pause`: it stands still meanwhile. */
  changes(place: StartPlace, pause: boolean): AsyncGenerator<Buffer> {
    const start: StartBuiltin = async (builtin, sink) => {
      const process = await place.agent.startProcess('', builtinOf(place.processId, builtin), sink);
      return { process, release: () => process.release() };
    };
    const { id } = this.#record;
    return layerTar(start, {
      ...{ upper: `${place.scratchDisk}/${id}`, lowers: [place.rootfsDisk], stubs: MOUNT_STUBS },
      ...(pause && this.isRunning && { freeze: id }),
    });
  }

  /** Takes the running (or meanwhile ended) init over from an earlier daemon, where its log ends. */
  async adopt(state: GuestProcessState, agent: GuestAgent): Promise<void> {
    const session = this.#nextSession();
    const log = this.#openLog();
    const base = this.#record.logBase;
    const logged = log.offsets();
    const resumeAt: StreamOffsets = {
      stdout: Math.max(0, logged.stdout - base.stdout),
      stderr: Math.max(0, logged.stderr - base.stderr),
    };
    session.keepIn(log, base, resumeAt);
    const process = await agent.adoptProcess(state, resumeAt, session);
    if (this.#record.state.phase !== 'running') {
      this.#save({ state: { phase: 'running', startedAt: Date.now() } });
    }
    session.bind(process);
    this.#watch(process, agent, session);
  }

  /** Its machine is gone: whatever ran has ended without telling. */
  lose(exitCode: number, message: string): void {
    this.execs.loseOrphans();
    this.#process = undefined;
    this.#isAsked = true; // the pod decides what comes after the machine
    this.#session.abandon(message);
    this.#cancelRestart();
    if (!this.isRunning) return;
    const signal = exitCode > 128 && exitCode < LOST_EXIT_CODE ? exitCode - 128 : 0;
    this.#finish({ exitCode, signal, startedAt: this.#startedAt(), message });
  }

  /**
   * Asks it to stop with its stop signal, kills it after `graceMs` (0: at once); resolves when it has ended. Rejects `machine` where
   * not even SIGKILL ends it.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isAsked = true;
    this.#cancelRestart();
    if (!this.isRunning) return;
    this.#context.events.container(this.#record, 'stop', { signal: this.#record.run.stopSignal });
    if (graceMs > 0) {
      this.#tell(this.#record.run.stopSignal);
      if (await this.#endsWithin(graceMs)) return;
    }
    this.#tell(SIGKILL);
    if (await this.#endsWithin(KILL_GRACE_MS)) return;
    throw new HyperError(
      'machine',
      `stop container "${this.#record.name}": it has not ended ${KILL_GRACE_MS / 1000} s after SIGKILL`,
    );
  }

  /** One that does not run is left as it is. */
  async signal(signal: number): Promise<void> {
    if (signal === SIGKILL || signal === this.#record.run.stopSignal) {
      this.#isAsked = true;
      this.#cancelRestart();
    }
    if (!this.isRunning) return;
    this.#context.events.container(this.#record, 'kill', { signal });
    try {
      await this.#process?.signal(signal);
    } catch (error) {
      if (!isHyperError(error, 'not-found')) throw error; // it has ended, and the news is on its way
    }
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#process?.resize(rows, columns);
  }

  /** Rejects `not-found` where the container is being removed. */
  async attach(client: ClientStreams): Promise<void> {
    if (this.#isClosed)
      throw new HyperError('not-found', `attach to container "${this.#record.name}": it is being removed`);
    const session = this.isRunning ? this.#session : this.#nextSession();
    await session.attach(client);
    // Who has seen the end of the output asks how it ended, and must not find the container running.
    const isEnding = session.hasEnded && session === this.#session && this.isRunning;
    if (isEnding && !client.signal.aborted) await this.#exitOrGone(client.signal);
  }

  async #exitOrGone(gone: AbortSignal): Promise<void> {
    try {
      await this.wait(gone);
    } catch (error) {
      if (!isHyperError(error, 'canceled')) throw error;
    }
  }

  /** Resolves with the exit code once it is not running. Rejects `canceled` on abort. */
  async wait(signal: AbortSignal): Promise<number> {
    while (this.#record.state.phase === 'running') {
      await untilAborted(this.#ended.promise, signal, `wait for container "${this.#record.name}"`);
    }
    return this.#record.state.phase === 'exited' ? this.#record.state.exitCode : 0;
  }

  /** What an exec of it runs as: everything but the command is as for its init. */
  execProcess(exec: Exec, processId: number): ProcessSpec {
    return { ...processOf(this.#record, processId), args: exec.command, tty: exec.tty };
  }

  /** Ends the log and everybody's session; the container is being removed. */
  close(): void {
    this.#isClosed = true;
    this.#session.abandon('the container is being removed');
    this.#log?.close();
    this.#log = undefined;
  }

  /** Lets go of the log and of everybody's session; the daemon ends, and the container may go on. */
  detach(): void {
    this.#log?.release();
    this.#log = undefined;
    this.#session.abandon('the daemon is ending');
  }

  #nextSession(): Session {
    if (this.#session.hasEnded) this.#session = new Session({ tty: this.#record.spec.tty });
    return this.#session;
  }

  #openLog(): ContainerLog {
    const { id } = this.#record;
    this.#log = this.#context.logs.open(this.#record, this.#context.podSpec().log, {
      onDurable: (stream, offset) => this.#session.durable(stream, offset),
      onError: (error) => this.#context.logger.error({ container: id, err: error }, 'write container log'),
    });
    return this.#log;
  }

  #watch(process: GuestProcess, agent: GuestAgent, session: Session): void {
    this.#process = process;
    process.exited.then(
      (status) => this.#exited(status, process, agent, session),
      () => undefined, // the connection ended: the pod's machine tells what it means
    );
  }

  async #exited(
    status: ExitStatus,
    process: GuestProcess,
    agent: GuestAgent,
    session: Session,
  ): Promise<void> {
    const { id, name } = this.#record;
    session.drain();
    await endOfOutput(session);
    if (this.#process !== process) return;
    this.#process = undefined;
    if (status.outOfMemory) this.#context.events.container(this.#record, 'oom');
    this.#finish({
      exitCode: status.exitCode,
      signal: status.signal,
      startedAt: this.#startedAt(),
      message: status.outOfMemory ? `container "${name}" ran out of memory` : undefined,
    });
    try {
      // Both are sent now, before anybody can ask for the next start.
      await Promise.all([process.release(), agent.removeContainer(id, { deleteUpper: false })]);
    } catch (error) {
      this.#context.logger.debug({ container: id, err: error }, 'tell guest of ended container');
    }
    this.#context.onExit(this);
  }

  #finish(end: {
    exitCode: number;
    signal: number;
    startedAt: number | undefined;
    message: string | undefined;
  }): void {
    this.#log?.close();
    this.#log = undefined;
    const { restartPolicy } = this.#record.spec;
    const run = { ...end, finishedAt: Date.now(), restarts: this.#restarts };
    const plan = this.#isAsked
      ? undefined
      : planRestart(restartPolicy, { ...run, failed: end.exitCode !== 0 });
    this.#save({ processId: undefined, state: { phase: 'exited', ...run, ...plan } });
    const { exitCode, signal, message: reason } = end;
    this.#context.events.container(this.#record, 'die', { exitCode, signal: signal || undefined, reason });
    this.#ended.resolve();
    this.#ended = Promise.withResolvers();
  }

  /** Sends a signal without waiting: what it brings about is seen by the container's end, or by its absence. */
  #tell(signal: number): void {
    this.signal(signal).catch((error: unknown) => {
      this.#context.logger.warn({ container: this.#record.id, signal, err: error }, 'signal container');
    });
  }

  async #endsWithin(timeoutMs: number): Promise<boolean> {
    const timeout = Promise.withResolvers<boolean>();
    const timer = setTimeout(timeout.resolve, timeoutMs, false);
    try {
      return await Promise.race([this.#ended.promise.then(() => true), timeout.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  get #restarts(): number {
    const { state } = this.#record;
    return state.phase === 'pending' ? 0 : (state.restarts ?? 0);
  }

  #cancelRestart(): void {
    const { state } = this.#record;
    if (state.phase !== 'exited' || state.restartsAt === undefined) return;
    this.#save({ state: { ...state, restartsAt: undefined } });
  }

  #startedAt(): number | undefined {
    return this.#record.state.phase === 'running' ? this.#record.state.startedAt : undefined;
  }

  #save(change: Partial<ContainerRecord>): void {
    const record = { ...this.#record, ...change };
    const { name, spec, state } = change;
    const isLasting = name !== undefined || spec !== undefined || state?.phase === 'exited';
    const isSoon = !isLasting || this.#context.podSpec().autoRemove;
    const isFact = state?.phase === 'exited' || state?.phase === 'running';
    this.#context.records.saveContainer(record, { isSoon, isFact });
    this.#record = record;
  }
}
