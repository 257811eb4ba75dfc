import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, isHyperError } from '../errors.ts';
import type { GuestAgent } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import type { Machine } from '../machines/machine.ts';
import { Container } from './container.ts';
import { PodConnections } from './pod-connections.ts';
import { type PodContext, STOP_GRACE_MS } from './pod-context.ts';
import { PodEnds } from './pod-ends.ts';
import { PodFiles } from './pod-files.ts';
import { PodLife } from './pod-life.ts';
import { PodMachine } from './pod-machine.ts';
import type { ContainerRecord, PodRecord } from './pod-records.ts';
import { PodRestarts } from './pod-restarts.ts';
import type { PodEnd, PodUsage, PodView, StopOptions } from './pod-service.ts';
import { PodShutdown } from './pod-shutdown.ts';
import { PodStart } from './pod-start.ts';
import { Sequence, SharedWork } from './sequence.ts';

const SIGKILL = 9;

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
  readonly connections: PodConnections;
  readonly #machine: PodMachine;
  readonly #restarts: PodRestarts;
  readonly #starts: PodStart;
  readonly #shutdown: PodShutdown;
  readonly #ends = new PodEnds();
  #isDoomed = false;
  #isDetached = false;
  #isGone = false;

  constructor(record: PodRecord, containers: readonly ContainerRecord[], context: PodContext) {
    this.#context = context;
    const { logger, events, admit } = context;
    const life = new PodLife(record, context.records, events);
    this.#life = life;
    const sequence = this.#sequence;
    const ofPod = { life, directory: this.directory, containers: () => this.containers };
    const machine = new PodMachine({ ...ofPod, onGone: (exit) => this.#shutdown.machineGone(exit) }, context);
    this.#machine = machine;
    const files = new PodFiles({
      ...{ directory: this.directory, sequence },
      placeFor: (container, { volumes }) => {
        machine.requireRunning();
        return volumes ? machine.placeWithVolumes(container) : machine.placeFor(container);
      },
    });
    this.files = files;
    this.connections = new PodConnections({
      ...{ life, machine, sequence, requireStaying: (action) => this.#requireStaying(action) },
    });
    const restarts = new PodRestarts({
      ...{ ...ofPod, logger, events, start: () => this.start() },
      startContainer: (container) => sequence.run(() => this.#starts.again(container)),
    });
    this.#restarts = restarts;
    const shutdown = new PodShutdown({
      ...{ ...ofPod, machine, sequence, restarts, logger, onOver: () => this.#over() },
    });
    this.#shutdown = shutdown;
    this.#starts = new PodStart({ ...ofPod, machine, files, restarts, shutdown, admit });
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
      startTrace: this.#starts.trace,
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
      if (this.#life.phase !== 'running') {
        this.#requireStaying('start');
        return this.#starts.pod(given);
      }
      if (given)
        throw new HyperError(
          'conflict',
          `start pod "${this.id}" in machine ${given.id}: it runs in another one`,
        );
      await this.#starts.containers(this.containers);
    });
  }

  startContainer(container: Container): Promise<void> {
    return this.#sequence.run(async () => {
      this.#machine.requireRunning();
      await this.#starts.containers([container]);
    });
  }

  /** One that waits to be started again does so no longer. */
  async stopContainer(container: Container, graceMs = STOP_GRACE_MS): Promise<void> {
    await this.#calls.run(async () => {
      if (container.isRunning) this.#machine.requireRunning();
      await container.stop(graceMs);
    });
    this.#shutdown.endIfDoneLater();
  }

  async signalContainer(container: Container, signal: number): Promise<void> {
    await this.#calls.run(async () => {
      if (container.isRunning) this.#machine.requireRunning();
      await container.signal(signal);
    });
    this.#shutdown.endIfDoneLater();
  }

  stop({ keepMachine = false, graceMs = STOP_GRACE_MS }: StopOptions = {}): Promise<void> {
    this.#starts.abort();
    return this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (this.isAlive) await this.#shutdown.stopGently(graceMs, keepMachine);
      else this.#shutdown.tellOver();
    });
  }

  /** Ends the machine at once. */
  async kill(): Promise<void> {
    if (this.isAlive) this.#context.events.pod(this.record, 'kill', { signal: SIGKILL });
    await this.#endAtOnce();
  }

  async #endAtOnce(graceMs = 0): Promise<void> {
    this.#starts.abort();
    await this.#machine.held?.stop({ graceMs });
    await this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (this.isAlive) await this.#shutdown.end('failed', 'killed', graceMs);
      else this.#shutdown.tellOver();
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
      await this.#shutdown.endIfDone(); // what ended at the last moment
    });
  }

  /** Ends it if it is alive, and removes its files and records. May be called again where it has failed, also by another daemon. */
  async remove(): Promise<void> {
    this.#isDoomed = true;
    try {
      await this.#machine.cutShort();
      await this.#endAtOnce(this.#machine.farewellMs);
      await this.#sequence.run(async () => {
        if (this.#isGone) return;
        this.#ends.tell(this.view());
        this.#life.apply({ type: 'remove' });
        for (const container of this.containers) container.close();
        await this.#deleteFiles();
        await this.#context.logs.removePod(this.id, [...this.#containers.keys()]); // where they are kept elsewhere
        await this.#context.networks.releaseAll(this.id);
        this.#context.records.remove(this.record);
        this.#isGone = true;
        for (const { record } of this.containers) this.#context.events.container(record, 'destroy');
        this.#context.events.pod(this.record, 'destroy');
      });
    } finally {
      this.#isDoomed = this.#isGone;
    }
  }

  /** Whoever asks for a removal may want the room; nobody does so for a pod that goes by itself. */
  async #deleteFiles(): Promise<void> {
    if (this.record.spec.autoRemove) await this.#context.discards.discard(this.directory);
    else await rm(this.directory, { recursive: true, force: true });
  }

  async removeContainer(container: Container): Promise<void> {
    if (container.isRunning) await this.stopContainer(container);
    await this.#sequence.run(async () => {
      const { id } = container.record;
      if (this.#containers.get(id) !== container) return; // somebody else was quicker
      if (this.#life.phase === 'paused') this.#machine.requireRunning();
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
      await this.#shutdown.endIfDone();
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
      this.#machine.requireRunning();
      return work();
    }
    return this.#sequence.run(() => {
      if (this.isAlive) this.#machine.requireRunning();
      return work();
    });
  }

  async usage(): Promise<PodUsage> {
    const machine = this.#machine.requireRunning();
    const [guest, disks] = await Promise.all([machine.agent.stats(), machine.diskUsage()]);
    return { guest, disks };
  }

  /** See `PodService.waitPod`. */
  untilOver(options: { readonly next: boolean; readonly signal: AbortSignal }): Promise<PodEnd> {
    return this.#ends.wait(this, options);
  }

  /** The agent of its running machine. Throws `precondition` where the pod does not run. */
  get agent(): GuestAgent {
    return this.#machine.requireRunning().agent;
  }

  newProcessId(): number {
    return this.#machine.newProcessId();
  }

  /** At daemon start: goes on with the machine that an earlier daemon left running. */
  adopt(machine: Machine): Promise<void> {
    const takeUp = async (): Promise<void> => {
      await this.#machine.adopt(machine);
      if (this.#life.phase === 'paused') await machine.pause();
    };
    return this.#sequence.run(() => this.#shutdown.resume(takeUp));
  }

  /** At daemon start: its machine did not outlive the earlier daemon. */
  declareLost(): Promise<void> {
    return this.#sequence.run(async () => {
      const { phase } = this.#life;
      if (this.isAlive) {
        await this.#shutdown.endLost('its machine ended while the daemon was not running');
        if (phase !== 'stopping') this.#restarts.planPod();
      } else {
        this.#restarts.resumePod();
        this.#shutdown.tellOver();
      }
    });
  }

  /** Lets go of it without touching its machine; the daemon is ending. One that is starting is ended first. */
  async detach(): Promise<void> {
    this.#isDetached = true;
    this.#restarts.clearAll();
    if (this.#starts.isUnderWay) {
      this.#starts.abort();
      await this.#sequence.run(async () => undefined);
    }
    for (const container of this.containers) container.detach();
  }

  /** It has ended, and stays so. */
  #over(): void {
    this.#ends.tell(this.view());
    if (this.#life.record.spec.autoRemove) this.#context.onOver(this);
  }

  #take(record: ContainerRecord): Container {
    const container = new Container(record, {
      ...{ records: this.#context.records, logs: this.#context.logs, logger: this.#context.logger },
      ...{ events: this.#context.events, podSpec: () => this.#life.record.spec },
      onExit: (exited) => {
        this.#restarts.planContainer(exited);
        this.#shutdown.endIfDoneLater();
      },
    });
    this.#containers.set(record.id, container);
    return container;
  }

  #requireStaying(action: string): void {
    if (this.#isDetached) throw new HyperError('canceled', `${action}: the daemon is ending`);
    if (this.isBeingRemoved)
      throw new HyperError('precondition', `${action}: the pod ${this.id} is being removed`);
  }
}
