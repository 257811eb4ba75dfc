import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { GuestAgent } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import type { ImageService } from '../images/image-service.ts';
import type { Logger } from '../logger.ts';
import type { Machine, MachineExit, MachineService } from '../machines/machine.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import type { HostPorts } from '../networks/host-ports.ts';
import type { Networks } from '../networks/networks.ts';
import type { Volumes } from '../volumes/index.ts';
import { changedServices, type ServiceChange } from './balancing.ts';
import { Container } from './container.ts';
import type { ContainerLogs } from './container-log.ts';
import { LOST_EXIT_CODE, outcomeOf } from './lifecycle.ts';
import { PodEnds } from './pod-ends.ts';
import { PodFiles } from './pod-files.ts';
import { PodLife } from './pod-life.ts';
import { PodMachine, reasonOf, type StartOptions } from './pod-machine.ts';
import type { ConnectRequest } from './pod-network.ts';
import type { ContainerRecord, PodRecord, PodRecords } from './pod-records.ts';
import { isWaiting, PodRestarts } from './pod-restarts.ts';
import type { PodEnd, PodUsage, PodView, StopOptions } from './pod-service.ts';
import type { ReadyImages } from './ready-images.ts';
import { Sequence, SharedWork } from './sequence.ts';
import type { PortMapping, ServiceSpec } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';
import { StartRecorder } from './start-trace.ts';

/** Time between a container's stop signal and SIGKILL, in ms, where the caller does not say (the original's). */
export const STOP_GRACE_MS = 5_000;
/** Time for the guest to sync and power off, in ms. */
const POWEROFF_GRACE_MS = 5_000;
const SIGKILL = 9;
const SIGKILL_EXIT_CODE = 137;

export interface PodContext {
  readonly root: string;
  readonly records: PodRecords;
  readonly machines: MachineService;
  readonly images: ImageService;
  readonly scratch: ScratchDisks;
  readonly readyImages: ReadyImages;
  readonly volumes: Volumes;
  readonly hostPorts: HostPorts;
  readonly networks: Networks;
  readonly logs: ContainerLogs;
  readonly logger: Logger;
  readonly events: Events;
  /** Takes a machine that its pod has given back alive. */
  readonly keepMachine: (machine: Machine) => void;
  /** Throws `limit` where no more pods may run. */
  readonly admit: () => void;
  /** The pod is over for good, and is to be removed then. */
  readonly onOver: (pod: Pod) => void;
}

/**
 * One pod: its record, its containers and, while it is alive, its machine. All changes of state go through one sequence, so they never
 * overlap; what has to cut a running operation short (stop, kill, remove) aborts the start or ends the machine first and then queues.
 * Made by the pod service, for a new pod or one that the database holds.
 */
export class Pod {
  readonly #context: PodContext;
  readonly #life: PodLife;
  readonly #sequence = new Sequence();
  /** Calls to the guest from outside of the sequence: a guest that is paused under them would leave them without an answer. */
  readonly #calls = new SharedWork();
  readonly #containers = new Map<ContainerId, Container>();
  readonly files: PodFiles;
  readonly #machine: PodMachine;
  readonly #restarts: PodRestarts;
  #starting: AbortController | undefined;
  /** Of its last start by this daemon. */
  #recorder: StartRecorder | undefined;
  /** Why the machine is gone, while the pod is still to be told. */
  #lost: MachineExit | undefined;
  readonly #ends = new PodEnds();
  #isDoomed = false;
  #isDetached = false;
  #isGone = false;

  constructor(record: PodRecord, containers: readonly ContainerRecord[], context: PodContext) {
    this.#context = context;
    const life = new PodLife(record, context.records, context.events);
    this.#life = life;
    const ofPod = { life, directory: this.directory, containers: () => this.containers };
    this.#machine = new PodMachine({ ...ofPod, onGone: (exit) => this.#machineGone(exit) }, context);
    this.files = new PodFiles({
      directory: this.directory,
      sequence: this.#sequence,
      placeFor: (container, { volumes }) => {
        this.#requireRunning();
        return volumes ? this.#machine.placeWithVolumes(container) : this.#machine.placeFor(container);
      },
    });
    this.#restarts = new PodRestarts({
      ...{ ...ofPod, logger: context.logger, events: context.events, start: () => this.start() },
      startContainer: (container) =>
        this.#sequence.run(async () => {
          try {
            if (life.phase !== 'running' || !isWaiting(container)) return false;
            await this.#startOne(container);
            return true;
          } finally {
            await this.#endIfDone();
          }
        }),
    });
    for (const container of containers) this.#take(container);
  }

  get id(): PodId {
    return this.#life.id;
  }

  get record(): PodRecord {
    return this.#life.record;
  }

  get containers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  get isAlive(): boolean {
    return this.#life.isAlive;
  }

  /** It has ended, and nothing will start it again by itself. */
  get isOver(): boolean {
    return this.#life.isOver;
  }

  get isBeingRemoved(): boolean {
    return this.#isDoomed || this.#life.phase === 'removing';
  }

  /** Its removal has failed, and nobody tries it now. */
  get isHalfRemoved(): boolean {
    return this.#life.phase === 'removing' && !this.#isDoomed;
  }

  /** Directory of the pod's own files: writable disk and logs. */
  get directory(): string {
    return join(this.#context.root, 'pods', this.id);
  }

  view(): PodView {
    const { id, spec, state, machineId, createdAt } = this.#life.record;
    return {
      ...{ id, spec, state, machineId, createdAt: new Date(createdAt) },
      addresses: this.#machine.addresses,
      containers: this.containers.map((container) => container.view()),
      startTrace: this.#recorder?.trace,
    };
  }

  setLabels(labels: Readonly<Record<string, string>>): void {
    this.#life.save({ spec: { ...this.#life.record.spec, labels } });
    this.#context.events.pod(this.record, 'update');
  }

  /** For a new pod: throws where one of its host ports is taken. */
  checkPorts(): Promise<void> {
    return this.#machine.checkPorts();
  }

  /** For new containers, or a new pod with all of its: throws where one of their volumes cannot be had. */
  checkVolumes(added = this.containers.map(({ record }) => record)): Promise<void> {
    return this.#machine.volumes.check(this.record.spec, added);
  }

  /** Publishes more ports: all, or none. A pod that is not alive takes them only `whenStopped`; it gets them with its start. */
  addPorts(added: readonly PortMapping[], { whenStopped = false } = {}): Promise<void> {
    return this.#sequence.run(async () => {
      this.#requireStaying('publish ports');
      if (!this.isAlive && !whenStopped)
        throw new HyperError('precondition', `publish ports: the pod ${this.id} is not running`);
      await this.#machine.addPorts(added);
    });
  }

  removePorts(selectors: readonly PortSelector[]): Promise<void> {
    return this.#sequence.run(() => this.#machine.removePorts(selectors));
  }

  /** See `PodNetwork.connect`. A pod that is not alive is on the network with its next start. */
  connectNetwork(request: ConnectRequest): Promise<void> {
    return this.#sequence.run(async () => {
      this.#requireStaying(`connect to network "${request.network}"`);
      if (this.isAlive) this.#requireRunning();
      await this.#machine.connectNetwork(request);
    });
  }

  /** See `PodNetwork.disconnect`. */
  disconnectNetwork(network: string): Promise<void> {
    return this.#sequence.run(async () => {
      if (this.isAlive) this.#requireRunning();
      await this.#machine.disconnectNetwork(network);
    });
  }

  /** Recorded first: a daemon that dies in between has the next one go on with it. What the guest refuses is taken back. */
  changeServices(change: ServiceChange, given: readonly ServiceSpec[]): Promise<void> {
    return this.#sequence.run(async () => {
      this.#requireStaying('change services');
      const { spec } = this.#life.record;
      this.#life.save({ spec: { ...spec, services: changedServices(spec.services, change, given) } });
      try {
        await this.#machine.balance();
      } catch (error) {
        this.#life.save({ spec });
        throw error;
      }
    });
  }

  /** A container for the running or pending pod; it starts with `startContainer`, or with the pod. */
  addContainer(record: ContainerRecord): Container {
    this.#requireStaying(`add container "${record.name}"`);
    this.#context.records.insertContainer(record);
    this.#context.events.container(record, 'create');
    return this.#take(record);
  }

  /** Gives it a machine (that one, where it is given) if it has none, and starts every container that does not run. */
  start(given?: Machine): Promise<void> {
    return this.#sequence.run(async () => {
      if (this.#life.phase !== 'running') return this.#bringUp(given);
      if (given)
        throw new HyperError(
          'conflict',
          `start pod "${this.id}" in machine ${given.id}: it runs in another one`,
        );
      await this.#settle(await this.#startEach(this.containers));
    });
  }

  startContainer(container: Container): Promise<void> {
    return this.#sequence.run(async () => {
      this.#requireRunning();
      await this.#settle(await this.#startEach([container]));
    });
  }

  /** One that waits to be started again does so no longer. */
  async stopContainer(container: Container, graceMs = STOP_GRACE_MS): Promise<void> {
    await this.#calls.run(async () => {
      if (container.isRunning) this.#requireRunning();
      await container.stop(graceMs);
    });
    this.#later(() => this.#endIfDone());
  }

  async signalContainer(container: Container, signal: number): Promise<void> {
    await this.#calls.run(async () => {
      if (container.isRunning) this.#requireRunning();
      await container.signal(signal);
    });
    this.#later(() => this.#endIfDone());
  }

  stop({ keepMachine = false, graceMs = STOP_GRACE_MS }: StopOptions = {}): Promise<void> {
    this.#starting?.abort();
    return this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (this.isAlive) await this.#stopGently(graceMs, keepMachine);
      else this.#tellOver();
    });
  }

  /** Ends the machine at once. */
  async kill(): Promise<void> {
    if (this.isAlive) this.#context.events.pod(this.record, 'kill', { signal: SIGKILL });
    await this.#endAtOnce();
  }

  async #endAtOnce(): Promise<void> {
    this.#starting?.abort();
    await this.#machine.held?.stop({ graceMs: 0 });
    await this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (this.isAlive) await this.#end('failed', 'killed', 0);
      else this.#tellOver();
    });
  }

  pause(): Promise<void> {
    return this.#sequence.run(async () => {
      this.#life.check('pause');
      await this.#calls.alone(async () => {
        await this.#machine.held?.pause();
        this.#life.apply({ type: 'pause' });
      });
    });
  }

  unpause(): Promise<void> {
    return this.#sequence.run(async () => {
      this.#life.check('unpause');
      await this.#machine.held?.resume();
      this.#life.apply({ type: 'unpause' });
      for (const container of this.containers) this.#restarts.planContainer(container);
      await this.#endIfDone(); // what ended at the last moment
    });
  }

  /** Ends it if it is alive, and removes its files and records. May be called again where it has failed, also by another daemon. */
  async remove(): Promise<void> {
    this.#isDoomed = true;
    try {
      await this.#machine.cutShort();
      await this.#endAtOnce();
      await this.#sequence.run(async () => {
        if (this.#isGone) return;
        this.#ends.tell(this.view());
        this.#life.apply({ type: 'remove' });
        for (const container of this.containers) container.close();
        await this.#context.logs.removePod(this.id, [...this.#containers.keys()]);
        await rm(this.directory, { recursive: true, force: true });
        await this.#context.networks.releaseAll(this.id);
        this.#context.records.remove(this.id);
        this.#isGone = true;
        for (const { record } of this.containers) this.#context.events.container(record, 'destroy');
        this.#context.events.pod(this.record, 'destroy');
      });
    } finally {
      this.#isDoomed = this.#isGone;
    }
  }

  async removeContainer(container: Container): Promise<void> {
    if (container.isRunning) await this.stopContainer(container);
    await this.#sequence.run(async () => {
      const { id } = container.record;
      if (this.#containers.get(id) !== container) return; // somebody else was quicker
      if (this.#life.phase === 'paused') this.#requireRunning();
      if (container.isRunning) await container.stop(0); // started again meanwhile
      this.#restarts.clear(container);
      container.close();
      await this.#machine.held?.agent.removeContainer(id, { deleteUpper: true }).catch((error: unknown) => {
        if (!isHyperError(error, 'not-found')) throw error;
      });
      await this.#context.logs.remove(container.record);
      await this.files.forget(id);
      this.#containers.delete(id);
      this.#context.records.removeContainer(id);
      await this.#machine.prune();
      this.#context.events.container(container.record, 'destroy');
      await this.#endIfDone();
    });
  }

  /**
   * What the container has changed, as the tar of a layer, which `take` reads; `pause`: it stands still meanwhile. A pod without a machine gets one for that
   * time. Throws `precondition` while the pod is starting, stopping or paused.
   */
  async changes<T>(
    container: Container,
    take: (tar: AsyncIterable<Buffer>) => Promise<T>,
    { pause, signal }: { readonly pause: boolean; readonly signal?: AbortSignal },
  ): Promise<T> {
    const work = () =>
      this.#machine.withChangesOf(container, (place) => take(container.changes(place, pause)), signal);
    if (container.isRunning) {
      this.#requireRunning();
      return work();
    }
    return this.#sequence.run(() => {
      if (this.isAlive) this.#requireRunning();
      return work();
    });
  }

  async usage(): Promise<PodUsage> {
    const machine = this.#requireRunning();
    const [guest, disks] = await Promise.all([machine.agent.stats(), machine.diskUsage()]);
    return { guest, disks };
  }

  /** See `PodService.waitPod`. */
  untilOver(options: { readonly next: boolean; readonly signal: AbortSignal }): Promise<PodEnd> {
    return this.#ends.wait(this, options);
  }

  /** The agent of its running machine. Throws `precondition` where the pod does not run. */
  get agent(): GuestAgent {
    return this.#requireRunning().agent;
  }

  newProcessId(): number {
    return this.#machine.newProcessId();
  }

  /** At daemon start: goes on with the machine that an earlier daemon left running. */
  adopt(machine: Machine): Promise<void> {
    return this.#sequence.run(async () => {
      const { phase } = this.#life;
      try {
        await this.#machine.adopt(machine);
        if (phase === 'paused') await machine.pause();
      } catch (error) {
        await this.#endLost(`take over ${phase} pod: ${messageOf(error)}`);
        return;
      }
      if (phase === 'starting') {
        await this.#end('failed', 'the daemon ended while the pod was starting', POWEROFF_GRACE_MS);
        this.#restarts.planPod();
      } else if (phase === 'stopping') await this.#stopGently(STOP_GRACE_MS, false);
      else if (phase === 'running') {
        for (const container of this.containers) this.#restarts.planContainer(container);
        await this.#endIfDone();
      }
    });
  }

  /** At daemon start: its machine did not outlive the earlier daemon. */
  declareLost(): Promise<void> {
    return this.#sequence.run(async () => {
      const { phase } = this.#life;
      if (this.isAlive) {
        await this.#endLost('its machine ended while the daemon was not running');
        if (phase !== 'stopping') this.#restarts.planPod();
      } else {
        this.#restarts.resumePod();
        this.#tellOver();
      }
    });
  }

  /** Lets go of it without touching its machine; the daemon is ending. One that is starting is ended first. */
  async detach(): Promise<void> {
    this.#isDetached = true;
    this.#restarts.clearAll();
    if (this.#starting) {
      this.#starting.abort();
      await this.#sequence.run(async () => undefined);
    }
    for (const container of this.containers) container.detach();
  }

  async #bringUp(given?: Machine): Promise<void> {
    this.#requireStaying('start');
    this.#life.check('start');
    this.#context.admit();
    this.#life.apply({ type: 'start' });
    const starting = new AbortController();
    const recorder = new StartRecorder();
    this.#recorder = recorder;
    const { signal } = starting;
    this.#starting = starting;
    let failures: readonly unknown[];
    try {
      await this.#machine.bringUp(given, { signal, recorder });
      const startedAt = Date.now();
      failures = await recorder.phase('exec', () => this.#startEach(this.containers, { signal, recorder }));
      signal.throwIfAborted();
      this.#life.apply({ type: 'started', at: startedAt });
    } catch (error) {
      const reason = signal.aborted ? new HyperError('canceled', `start pod "${this.id}": canceled`) : error;
      await this.#end('failed', messageOf(reason), 0);
      throw reason;
    } finally {
      this.#starting = undefined;
      recorder.end();
    }
    await this.#settle(failures);
  }

  /** Starts those that do not run, in order; resolves with what went wrong. */
  async #startEach(
    containers: readonly Container[],
    { signal, recorder }: Partial<StartOptions> = {},
  ): Promise<readonly unknown[]> {
    const failures: unknown[] = [];
    for (const container of containers) {
      signal?.throwIfAborted();
      if (container.isRunning || !this.#containers.has(container.record.id)) continue;
      try {
        await this.#startOne(container, recorder && (() => recorder.firstByte()));
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }

  async #startOne(container: Container, onOutput?: () => void): Promise<void> {
    this.#restarts.clear(container);
    await this.files.put(container);
    await this.#machine.start(container, onOutput);
  }

  /** After a start: throws the first failure, once what it means for the pod is done. */
  async #settle(failures: readonly unknown[]): Promise<void> {
    await this.#endIfDone();
    if (failures.length > 0) throw failures[0];
  }

  /** Whatever goes wrong on the way: the machine ends. */
  async #stopGently(graceMs: number, keepMachine: boolean): Promise<void> {
    const wasPaused = this.#life.phase === 'paused';
    if (this.#life.phase !== 'stopping') this.#life.apply({ type: 'stop' });
    let poweroffMs = POWEROFF_GRACE_MS;
    try {
      if (wasPaused) await this.#machine.held?.resume(); // a frozen guest hears no signal
      await Promise.all(this.containers.map((container) => container.stop(graceMs)));
      if (keepMachine && !this.#lost) await this.#machine.giveBack();
    } catch (error) {
      this.#context.logger.warn({ pod: this.id, err: error }, 'stop pod; its machine is ended');
      poweroffMs = 0;
    }
    await this.#end('failed', undefined, poweroffMs);
  }

  #take(record: ContainerRecord): Container {
    const container = new Container(record, {
      ...{ records: this.#context.records, logs: this.#context.logs, logger: this.#context.logger },
      ...{ events: this.#context.events, logChoice: () => this.#life.record.spec.log },
      onExit: (exited) => {
        this.#restarts.planContainer(exited);
        this.#later(() => this.#endIfDone());
      },
    });
    this.#containers.set(record.id, container);
    return container;
  }

  #machineGone(exit: MachineExit): void {
    this.#lost = exit;
    // At once, outside of the sequence: an operation that runs may be waiting for these containers.
    const exitCode = exit.kind === 'stopped' ? SIGKILL_EXIT_CODE : LOST_EXIT_CODE;
    for (const container of this.containers) container.lose(exitCode, reasonOf(exit));
    this.#later(async () => {
      if (this.#lost !== exit || !this.isAlive) return;
      await this.#end('failed', undefined, 0);
      if (exit.kind !== 'stopped') this.#restarts.planPod();
    });
  }

  #later(work: () => Promise<void>): void {
    this.#sequence.run(work).catch((error: unknown) => {
      this.#context.logger.error({ pod: this.id, err: error }, 'follow up on the pod');
    });
  }

  /** The pod is over once no container of it runs or waits for its start; one without containers, or that is to stay, goes on. */
  async #endIfDone(): Promise<void> {
    const { state, spec } = this.#life.record;
    if (state.phase !== 'running' || spec.keepMachine || this.#lost || this.#containers.size === 0) return;
    const states = this.containers.map((container) => container.state);
    if (!states.every(({ phase }) => phase === 'exited') || this.containers.some(isWaiting)) return;
    await this.#end(outcomeOf(states), undefined, POWEROFF_GRACE_MS);
  }

  /** What ran was lost without a word. */
  async #endLost(message: string): Promise<void> {
    for (const container of this.containers) container.lose(LOST_EXIT_CODE, message);
    await this.#end('failed', message, 0);
  }

  /** Records the end, then gives the machine and the disks back. */
  async #end(outcome: 'succeeded' | 'failed', message: string | undefined, graceMs: number): Promise<void> {
    const reason = this.#lost ? reasonOf(this.#lost) : message;
    this.#restarts.clearAll();
    for (const container of this.containers)
      container.lose(SIGKILL_EXIT_CODE, reason ?? 'its pod was stopped');
    this.#life.apply({ type: 'end', outcome, at: Date.now(), message: reason });
    await this.#machine.end(graceMs);
    this.#lost = undefined;
    this.#tellOver();
  }

  /** Only after what is under way: a restart may be planned by then. */
  #tellOver(): void {
    this.#later(async () => {
      if (!this.isOver) return;
      this.#ends.tell(this.view());
      if (this.#life.record.spec.autoRemove) this.#context.onOver(this);
    });
  }

  /** Its machine, where containers can be worked with. Throws `precondition` with the original's text. */
  #requireRunning(): Machine {
    const { phase } = this.#life;
    const machine = this.#machine.held;
    if (machine && (phase === 'running' || phase === 'starting')) return machine;
    throw new HyperError(
      'precondition',
      phase === 'paused'
        ? `cannot complete the operation, because the pod ${this.id} is paused; unpause it first`
        : `cannot complete the operation, because the pod ${this.id} is not running`,
    );
  }

  #requireStaying(action: string): void {
    if (this.#isDetached) throw new HyperError('canceled', `${action}: the daemon is ending`);
    if (this.isBeingRemoved)
      throw new HyperError('precondition', `${action}: the pod ${this.id} is being removed`);
  }
}
