import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { GuestAgent, GuestProcessState } from '../guest/index.ts';
import type { ContainerId, PodId } from '../ids.ts';
import type { ImageService } from '../images/image-service.ts';
import type { Logger } from '../logger.ts';
import type { Machine, MachineExit, MachineService } from '../machines/machine.ts';
import { userModeAddresses } from '../networks/user-mode.ts';
import { Container, LOST_EXIT_CODE, type StartPlace } from './container.ts';
import type { ContainerLogs } from './container-log.ts';
import { identityOf, podFiles } from './identity.ts';
import { isAlive, outcomeOf, type PodEvent, podTransition } from './lifecycle.ts';
import { PodDisks } from './pod-disks.ts';
import { PodFiles } from './pod-files.ts';
import type { ContainerRecord, PodRecord, PodRecords } from './pod-records.ts';
import { isWaiting, PodRestarts } from './pod-restarts.ts';
import type { PodView } from './pod-service.ts';
import type { ScratchDisks } from './scratch-disk.ts';
import { Sequence } from './sequence.ts';
import { Session } from './session.ts';

/** Time between a container's stop signal and SIGKILL, in ms (the original's). */
const STOP_GRACE_MS = 5_000;
/** Time for the guest to sync and power off, in ms. */
const POWEROFF_GRACE_MS = 5_000;
const SIGKILL_EXIT_CODE = 137;

export interface PodContext {
  readonly root: string;
  readonly records: PodRecords;
  readonly machines: MachineService;
  readonly images: ImageService;
  readonly scratch: ScratchDisks;
  readonly logs: ContainerLogs;
  readonly logger: Logger;
  /** Takes a machine that its pod has given back alive. */
  readonly keepMachine: (machine: Machine) => void;
}

/**
 * One pod: its record, its containers and, while it is alive, its machine. All changes of state go through one sequence, so they never
 * overlap; what has to cut a running operation short (kill, remove) ends the machine first and then queues.
 * Made by the pod service, for a new pod or one that the database holds.
 */
export class Pod {
  readonly #context: PodContext;
  readonly #sequence = new Sequence();
  readonly #containers = new Map<ContainerId, Container>();
  readonly files: PodFiles;
  readonly #disks: PodDisks;
  readonly #restarts: PodRestarts;
  #record: PodRecord;
  #machine: Machine | undefined;
  #starting: AbortController | undefined;
  #nextProcessId = 1;

  constructor(record: PodRecord, containers: readonly ContainerRecord[], context: PodContext) {
    this.#record = record;
    this.#context = context;
    this.#disks = new PodDisks(context.images);
    this.files = new PodFiles({
      directory: this.directory,
      sequence: this.#sequence,
      placeFor: async (container) => {
        await this.#disks.plug(this.#requireMachine(), container.record.imageId);
        return this.#placeOf(container);
      },
    });
    this.#restarts = new PodRestarts({
      ...{
        id: record.id,
        logger: context.logger,
        record: () => this.#record,
        containers: () => this.containers,
      },
      save: (state) => this.#save({ state }),
      start: () => this.start(),
      startContainer: (container) =>
        this.#sequence.run(async () => {
          try {
            if (this.#record.state.phase === 'running' && isWaiting(container))
              await this.#startOne(container);
          } finally {
            await this.#endIfDone();
          }
        }),
    });
    for (const container of containers) this.#take(container);
  }

  get id(): PodId {
    return this.#record.id;
  }

  get record(): PodRecord {
    return this.#record;
  }

  get containers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  get isAlive(): boolean {
    return isAlive(this.#record.state);
  }

  /** Directory of the pod's own files: writable disk and logs. */
  get directory(): string {
    return join(this.#context.root, 'pods', this.id);
  }

  view(): PodView {
    const { id, spec, state, machineId, createdAt } = this.#record;
    return {
      ...{ id, spec, state, machineId, createdAt: new Date(createdAt) },
      addresses: this.#machine ? userModeAddresses : [],
      containers: this.containers.map((container) => container.view()),
    };
  }

  setLabels(labels: Readonly<Record<string, string>>): void {
    this.#save({ spec: { ...this.#record.spec, labels } });
  }

  /** A container for the running or pending pod; it starts with `startContainer`, or with the pod. */
  addContainer(record: ContainerRecord): Container {
    this.#context.records.insertContainer(record);
    return this.#take(record);
  }

  /** Gives it a machine (that one, where it is given) if it has none, and starts every container that does not run. */
  start(given?: Machine): Promise<void> {
    return this.#sequence.run(async () => {
      if (this.#record.state.phase !== 'running') await this.#bringUp(given);
      else if (given)
        throw new HyperError(
          'conflict',
          `start pod "${this.id}" in machine ${given.id}: it runs in another one`,
        );
      await this.#startContainers(this.containers.filter((container) => !container.isRunning));
    });
  }

  startContainer(container: Container): Promise<void> {
    return this.#sequence.run(async () => {
      this.#requireMachine();
      if (!container.isRunning) await this.#startContainers([container]);
    });
  }

  async stopContainer(container: Container): Promise<void> {
    this.#requireMachine();
    await container.stop(STOP_GRACE_MS);
  }

  /** `keepMachine`: the machine lives on, and waits for another pod. */
  stop({ keepMachine = false }: { readonly keepMachine?: boolean } = {}): Promise<void> {
    this.#starting?.abort();
    return this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (!this.isAlive) return;
      if (this.#record.state.phase === 'paused') await this.#machine?.resume(); // a frozen guest hears no signal
      this.#apply({ type: 'stop' });
      await Promise.all(this.containers.map((container) => container.stop(STOP_GRACE_MS)));
      if (keepMachine) await this.#giveMachineBack();
      await this.#end('failed', undefined, POWEROFF_GRACE_MS);
    });
  }

  /** Ends the machine at once. */
  async kill(): Promise<void> {
    this.#starting?.abort();
    await this.#machine?.stop({ graceMs: 0 });
    await this.#sequence.run(async () => {
      this.#restarts.cancelPod();
      if (this.isAlive) await this.#end('failed', 'killed', 0);
    });
  }

  pause(): Promise<void> {
    return this.#sequence.run(async () => {
      podTransition(this.#record.state, { type: 'pause' }, this.id);
      await this.#requireMachine().pause();
      this.#apply({ type: 'pause' });
    });
  }

  unpause(): Promise<void> {
    return this.#sequence.run(async () => {
      podTransition(this.#record.state, { type: 'unpause' }, this.id);
      await this.#requireMachine().resume();
      this.#apply({ type: 'unpause' });
      for (const container of this.containers) this.#restarts.planContainer(container);
    });
  }

  /** Ends it if it is alive, and removes its files and records. */
  async remove(): Promise<void> {
    await this.kill();
    await this.#sequence.run(async () => {
      for (const container of this.containers) container.close('the container is being removed');
      await rm(this.directory, { recursive: true, force: true });
      this.#context.records.remove(this.id);
    });
  }

  async removeContainer(container: Container): Promise<void> {
    if (container.isRunning) await this.stopContainer(container);
    await this.#sequence.run(async () => {
      const { id } = container.record;
      this.#restarts.clear(container);
      container.close('the container is being removed');
      await this.#machine?.agent.removeContainer(id, { deleteUpper: true }).catch((error: unknown) => {
        if (!isHyperError(error, 'not-found')) throw error;
      });
      await this.#context.logs.remove(this.id, id);
      this.#containers.delete(id);
      this.#context.records.removeContainer(id);
    });
  }

  /** The agent of its running machine. Throws `precondition` with the original's text. */
  get agent(): GuestAgent {
    return this.#requireMachine().agent;
  }

  newProcessId(): number {
    return this.#nextProcessId++;
  }

  /** At daemon start: goes on with the machine that an earlier daemon left running. */
  adopt(machine: Machine): Promise<void> {
    return this.#sequence.run(async () => {
      const { phase } = this.#record.state;
      this.#hold(machine);
      if (phase === 'starting' || phase === 'stopping') {
        await this.#end('failed', `the daemon ended while the pod was ${phase}`, POWEROFF_GRACE_MS);
        return;
      }
      try {
        await this.#adoptProcesses(machine.agent);
        if (phase === 'paused') await machine.pause();
        else for (const container of this.containers) this.#restarts.planContainer(container);
      } catch (error) {
        await this.#end('failed', `take over running pod: ${messageOf(error)}`, 0);
        return;
      }
      await this.#endIfDone();
    });
  }

  /** At daemon start: its machine did not outlive the earlier daemon. */
  declareLost(): Promise<void> {
    return this.#sequence.run(async () => {
      if (this.isAlive) {
        await this.#end('failed', 'its machine ended while the daemon was not running', 0);
        this.#restarts.planPod();
      } else this.#restarts.resumePod();
    });
  }

  /** Lets go of it without touching its machine; the daemon is ending. */
  async detach(): Promise<void> {
    this.#starting?.abort();
    this.#restarts.clearAll();
    for (const container of this.containers) container.detach();
  }

  /** What the pod had in it is taken out; a machine that will not let go is ended with the pod. */
  async #giveMachineBack(): Promise<void> {
    const machine = this.#machine;
    if (!machine || this.containers.some((container) => container.isRunning)) return;
    try {
      await this.#disks.unplugAll(machine);
      machine.setOwner(undefined);
      this.#machine = undefined;
      this.#context.keepMachine(machine);
    } catch (error) {
      this.#context.logger.warn({ pod: this.id, machine: machine.id, err: error }, 'keep machine');
    }
  }

  async #takeMachine(machine: Machine): Promise<Machine> {
    this.#save({ machineId: machine.id });
    machine.setOwner(this.id);
    await machine.agent.setHostname(this.#record.spec.hostname);
    return machine;
  }

  async #bringUp(given?: Machine): Promise<void> {
    this.#apply({ type: 'start' });
    this.#starting = new AbortController();
    const { signal } = this.#starting;
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o700 });
      const { spec } = this.#record;
      const scratch = join(this.directory, 'scratch.img');
      const machineReady = given
        ? this.#takeMachine(given)
        : this.#context.machines.acquire({
            ...{ shape: spec.resource, owner: this.id, identity: identityOf(spec.hostname), signal },
            onId: (machineId) => this.#save({ machineId }),
          });
      const disksReady = Promise.all([
        this.#context.scratch.ensure(scratch),
        ...this.containers.map((container) => this.#disks.prepare(container.record.imageId, signal)),
      ]);
      const [machine, disks] = await Promise.allSettled([machineReady, disksReady]);
      if (machine.status === 'fulfilled') this.#hold(machine.value);
      else throw machine.reason;
      if (disks.status === 'rejected') throw disks.reason;
      await this.#disks.plugAll(machine.value, scratch);
      signal.throwIfAborted();
      this.#apply({ type: 'started', at: Date.now() });
    } catch (error) {
      const reason = signal.aborted ? new HyperError('canceled', `start pod "${this.id}": canceled`) : error;
      await this.#end('failed', messageOf(reason), 0);
      throw reason;
    } finally {
      this.#starting = undefined;
    }
  }

  async #startContainers(containers: readonly Container[]): Promise<void> {
    const failures: unknown[] = [];
    for (const container of containers) {
      try {
        await this.#startOne(container);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) {
      await this.#endIfDone();
      throw failures[0];
    }
  }

  async #startOne(container: Container): Promise<void> {
    const machine = this.#requireMachine();
    const { imageId } = container.record;
    this.#restarts.clear(container);
    await this.#disks.plug(machine, imageId);
    await this.files.put(container);
    await container.start(this.#placeOf(container));
  }

  #placeOf(container: Container): StartPlace {
    return {
      ...{ agent: this.#requireMachine().agent, processId: this.newProcessId() },
      rootfsDisk: this.#disks.nameOf(container.record.imageId),
      scratchDisk: this.#disks.scratchName,
      files: podFiles(this.#record.spec),
    };
  }

  async #adoptProcesses(agent: GuestAgent): Promise<void> {
    const states = await agent.listProcesses();
    this.#nextProcessId = Math.max(0, ...states.map((state) => state.id)) + 1;
    for (const container of this.containers) {
      const { id, imageId, processId } = container.record;
      await this.#disks.prepare(imageId); // plugged already; held so that the file stays
      const state = states.find((s) => s.init && s.containerId === id && s.id === processId);
      if (state) await container.adopt(state, agent);
      else container.lose(LOST_EXIT_CODE, 'its process was not found in the machine');
    }
    for (const state of states.filter((s) => !s.init)) await this.#adoptExec(state, agent);
  }

  /** The client of an earlier daemon's exec is gone: its process goes on, its output goes nowhere. */
  async #adoptExec(state: GuestProcessState, agent: GuestAgent): Promise<void> {
    const session = new Session({ tty: state.tty });
    const process = await agent.adoptProcess(state, { stdout: 0, stderr: 0 }, session);
    session.bind(process);
    process.exited
      .then(() => process.release())
      .catch((error: unknown) =>
        this.#context.logger.debug({ pod: this.id, err: error }, 'end adopted exec'),
      );
  }

  #take(record: ContainerRecord): Container {
    const container = new Container(record, {
      ...{ records: this.#context.records, logs: this.#context.logs, logger: this.#context.logger },
      onExit: (exited) => {
        this.#restarts.planContainer(exited);
        this.#later(() => this.#endIfDone());
      },
    });
    this.#containers.set(record.id, container);
    return container;
  }

  #hold(machine: Machine): void {
    this.#machine = machine;
    void machine.exited.then((exit) => {
      if (this.#machine !== machine) return;
      // At once, outside of the sequence: an operation that runs may be waiting for these containers.
      for (const container of this.containers) container.lose(LOST_EXIT_CODE, reasonOf(exit));
      this.#later(async () => {
        if (this.#machine !== machine) return;
        await this.#end('failed', reasonOf(exit), 0);
        if (exit.kind !== 'stopped') this.#restarts.planPod();
      });
    });
  }

  #later(work: () => Promise<void>): void {
    this.#sequence.run(work).catch((error: unknown) => {
      this.#context.logger.error({ pod: this.id, err: error }, 'follow up on the pod');
    });
  }

  /** The pod is over once no container of it runs or waits for its start; one without containers goes on. */
  async #endIfDone(): Promise<void> {
    if (this.#record.state.phase !== 'running' || this.#containers.size === 0) return;
    const states = this.containers.map((container) => container.state);
    if (!states.every((state) => state.phase === 'exited') || this.containers.some(isWaiting)) return;
    await this.#end(outcomeOf(states), undefined, POWEROFF_GRACE_MS);
  }

  /** Records the end, then gives the machine and the disks back. */
  async #end(outcome: 'succeeded' | 'failed', message: string | undefined, graceMs: number): Promise<void> {
    const machine = this.#machine;
    this.#machine = undefined;
    this.#restarts.clearAll();
    for (const container of this.containers) {
      container.lose(SIGKILL_EXIT_CODE, message ?? 'its pod was stopped');
    }
    this.#apply({ type: 'end', outcome, at: Date.now(), message });
    await machine?.stop({ graceMs });
    this.#disks.release();
    this.#save({ machineId: undefined });
  }

  #requireMachine(): Machine {
    const { phase } = this.#record.state;
    if (this.#machine && (phase === 'running' || phase === 'paused')) return this.#machine;
    throw new HyperError(
      'precondition',
      `cannot complete the operation, because the pod ${this.id} is not running`,
    );
  }

  #apply(event: PodEvent): void {
    this.#save({ state: podTransition(this.#record.state, event, this.id) });
  }

  #save(change: Partial<PodRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#context.records.savePod(this.#record);
  }
}

function reasonOf(exit: MachineExit): string {
  switch (exit.kind) {
    case 'died':
      return exit.consoleTail
        ? `${exit.message}; its console ended with:\n${exit.consoleTail}`
        : exit.message;
    case 'poweroff':
      return 'the machine was powered off from inside';
    case 'stopped':
      return 'the machine was stopped';
  }
}
