import { access, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, isHyperError } from '../errors.ts';
import { type GuestAgent, type GuestProcessState, pruneChanges, type StartBuiltin } from '../guest/index.ts';
import type { ContainerId, Digest } from '../ids.ts';
import type { AcquireRequest, Machine, MachineExit } from '../machines/machine.ts';
import { hostResolver } from '../networks/host-resolver.ts';
import { guestServices } from './balancing.ts';
import type { Container, StartPlace } from './container.ts';
import { etcFiles } from './etc-files.ts';
import { identityOf } from './identity.ts';
import { LOST_EXIT_CODE } from './lifecycle.ts';
import type { PodContext } from './pod.ts';
import { PodDisks } from './pod-disks.ts';
import type { PodLife } from './pod-life.ts';
import { accessOf, type ConnectRequest, PodNetwork } from './pod-network.ts';
import { PodPorts } from './pod-ports.ts';
import type { ContainerRecord } from './pod-records.ts';
import { PodVolumes } from './pod-volumes.ts';
import { Session } from './session.ts';
import type { PortMapping } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';
import { builtinOf } from './start-spec.ts';
import type { StartRecorder } from './start-trace.ts';

/** Time for a borrowed machine to write its disk back, in ms. */
const POWEROFF_GRACE_MS = 5_000;

/** Of one start of a pod. */
export interface StartOptions {
  readonly signal: AbortSignal;
  readonly recorder: StartRecorder;
}

/** What a machine needs of its pod. */
export interface MachineUser {
  readonly directory: string;
  readonly life: PodLife;
  containers(): readonly Container[];
  /** The machine has ended, whoever ended it, while the pod still had it. */
  onGone(exit: MachineExit): void;
}

/**
 * The machine of one pod and what is plugged into it, from the pod's start to its end. The pod serializes its calls; `held` may be asked for
 * at any time.
 */
export class PodMachine {
  readonly #pod: MachineUser;
  readonly #context: PodContext;
  readonly #disks: PodDisks;
  readonly volumes: PodVolumes;
  readonly #network: PodNetwork;
  readonly #ports: PodPorts;
  #machine: Machine | undefined;
  /** It writes its disks back and powers off. */
  #leaving: Machine | undefined;
  #nextProcessId = 1;

  constructor(pod: MachineUser, context: PodContext) {
    this.#pod = pod;
    this.#context = context;
    this.#disks = new PodDisks(context.images);
    this.volumes = new PodVolumes(pod.life.id, context.volumes);
    this.#ports = new PodPorts({ ...context, life: pod.life });
    this.#network = new PodNetwork(pod.life.id, context.networks, () => this.#names(), context.logger);
  }

  /** The machine, while the pod has one. */
  get held(): Machine | undefined {
    return this.#machine;
  }

  /** With prefix length; none while there is no machine. */
  get addresses(): readonly string[] {
    return this.#machine ? this.#network.addresses : [];
  }

  /** For a new pod: throws where one of its host ports is taken. */
  checkPorts(): Promise<void> {
    return this.#ports.check();
  }

  /** See `PodPorts.add`. */
  addPorts(added: readonly PortMapping[]): Promise<void> {
    return this.#ports.add(added, this.#machine && this.#network.ports(this.#machine));
  }

  /** See `PodPorts.remove`. */
  removePorts(selectors: readonly PortSelector[]): Promise<void> {
    return this.#ports.remove(selectors, this.#machine && this.#network.ports(this.#machine));
  }

  /** See `PodNetwork.connect`. */
  connectNetwork(request: ConnectRequest): Promise<void> {
    const access = accessOf(this.#pod.life.record.spec);
    return this.#network.connect({ ...request, access }, this.#machine);
  }

  /** See `PodNetwork.disconnect`. */
  disconnectNetwork(network: string): Promise<void> {
    return this.#network.disconnect(network, this.#machine);
  }

  newProcessId(): number {
    return this.#nextProcessId++;
  }

  /**
   * Gets a machine (`given`, where there is one), with the pod's disks plugged in and its ports published. Rejects with what went wrong; `end` then takes back what there is of it.
   */
  async bringUp(given: Machine | undefined, { signal, recorder }: StartOptions): Promise<void> {
    const { directory } = this.#pod;
    if (given && this.#network.isBridged)
      throw new HyperError(
        'unsupported',
        `start pod in machine ${given.id}: that is not on the pod's network`,
      );
    await recorder.phase('ports', () => this.#ports.claim());
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { spec } = this.#pod.life.record;
    const scratch = join(directory, 'scratch.img');
    const isUsed = await exists(scratch);
    const machine = given
      ? await this.#settleIn(given, scratch, { signal, recorder })
      : await this.#getMachine(scratch, { signal, recorder });
    await recorder.phase('disks', () => this.#disks.plugAll(machine, scratch));
    if (isUsed) await this.prune();
    await recorder.phase('cards', () => this.#network.openOthers(machine));
    await recorder.phase('volumes', () => this.volumes.plugAll(machine, spec, this.#records()));
    await recorder.phase('forward', () => this.#ports.open(this.#network.ports(machine)));
    if (spec.services.length > 0) await this.balance();
    signal.throwIfAborted();
  }

  /** Starts a container's init, with its volumes. `onOutput`: told of its first output. */
  async start(container: Container, onOutput?: () => void): Promise<void> {
    const { spec } = this.#pod.life.record;
    const place = await this.placeFor(container);
    const { mounts, fills } = await this.volumes.mountsFor(this.#require(), spec, container.record);
    await this.#context.volumes.fills.run(fills, () => container.start({ ...place, mounts }, onOutput));
  }

  /** For work on a container's files, its volumes' as well. */
  async placeWithVolumes(container: Container): Promise<StartPlace> {
    const place = await this.placeFor(container);
    const { spec } = this.#pod.life.record;
    const { mounts } = await this.volumes.mountsFor(this.#require(), spec, container.record);
    return { ...place, mounts };
  }

  /** Where a process of the container can be started: its image's disk is plugged. Throws `precondition` where there is no machine. */
  async placeFor(container: Container): Promise<StartPlace> {
    const machine = this.#require();
    const { imageId } = container.record;
    await this.#disks.plug(machine, imageId);
    return {
      ...{ agent: machine.agent, processId: this.newProcessId() },
      rootfsDisk: this.#disks.nameOf(imageId),
      scratchDisk: this.#disks.scratchName,
      files: etcFiles(this.#pod.life.record.spec, container.record.spec, {
        ...(await hostResolver()),
        ...this.#network.forEtc,
      }),
    };
  }

  /**
   * For work on what a container has changed: in the pod's machine, or, while the pod has none, in one of its own for that time. It is the pod's, so that a
   * daemon that dies meanwhile leaves nothing.
   */
  async withChangesOf<T>(
    container: Container,
    work: (place: StartPlace) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    if (this.#machine) return work(await this.placeFor(container));
    const scratch = join(this.#pod.directory, 'scratch.img');
    const disks = new PodDisks(this.#context.images);
    let machine: Machine | undefined;
    try {
      await disks.prepare(container.record.imageId, signal);
      const { id, spec } = this.#pod.life.record;
      machine = await this.#context.machines.acquire({
        ...{ shape: spec.resource, owner: id, identity: identityOf(spec.hostname) },
        ...(signal && { signal }),
      });
      await disks.plugAll(machine, scratch);
      const rootfsDisk = disks.nameOf(container.record.imageId);
      return await work({
        ...{ agent: machine.agent, processId: 1, rootfsDisk },
        ...{ scratchDisk: disks.scratchName, files: [] },
      });
    } finally {
      await machine?.stop({ graceMs: POWEROFF_GRACE_MS });
      disks.release();
    }
  }

  /** Has the machine, if there is one, delete what containers have changed that the pod has no more. The next start tries again where that fails. */
  async prune(): Promise<void> {
    const agent = this.#machine?.agent;
    if (!agent) return;
    const start: StartBuiltin = async (builtin, sink) => {
      const process = await agent.startProcess('', builtinOf(this.newProcessId(), builtin), sink);
      return { process, release: () => process.release() };
    };
    const kept = this.#records().map(({ id }) => id);
    try {
      await pruneChanges(start, this.#disks.scratchName, kept);
    } catch (error) {
      this.#context.logger.warn({ pod: this.#pod.life.id, err: error }, 'clear the writable disk');
    }
  }

  /** Has the machine, if there is one, balance the pod's services. */
  async balance(): Promise<void> {
    await this.#machine?.setServices(guestServices(this.#pod.life.record.spec.services));
  }

  /** Goes on with what an earlier daemon left running in `machine`: containers find their processes, or learn that they are gone. */
  async adopt(machine: Machine): Promise<void> {
    this.#hold(machine);
    await this.#network.adopt(machine);
    await this.#ports.adopt(this.#network.ports(machine));
    await this.balance();
    const { agent } = machine;
    const states = await agent.listProcesses();
    this.#nextProcessId = Math.max(0, ...states.map((state) => state.id)) + 1;
    await this.volumes.adopt(machine, this.#pod.life.record.spec, this.#records());
    for (const image of this.#images()) await this.#disks.prepare(image); // plugged already; held so that the file stays
    for (const state of states.filter((s) => !s.init)) await this.#adoptExec(state, agent);
    for (const container of this.#pod.containers()) {
      container.execs.loseOrphans();
      const { id, processId } = container.record;
      const ofInit = states.filter((state) => state.init && state.containerId === id);
      const state = ofInit.find((found) => found.id === processId);
      if (state) await container.adopt(state, agent);
      else {
        if (container.isRunning) container.lose(LOST_EXIT_CODE, 'its process was not found in the machine');
        await this.#clearAway(id, ofInit, agent);
      }
    }
  }

  /** Takes the pod's disks out of the machine, which waits for another pod. False: it could not be had back in order, and is still held. */
  async giveBack(): Promise<boolean> {
    const machine = this.#machine;
    if (!machine || this.#network.isBridged) return false; // its network card stays where it is plugged in
    try {
      await this.#ports.close(this.#network.ports(machine));
      if (this.#pod.life.record.spec.services.length > 0) await machine.setServices([]);
      await this.volumes.unplugAll(machine);
      await this.#disks.unplugAll(machine);
      machine.setOwner(undefined);
      this.#machine = undefined;
      this.#context.keepMachine(machine);
      return true;
    } catch (error) {
      this.#context.logger.warn({ machine: machine.id, err: error }, 'keep machine');
      return false;
    }
  }

  /** Does not wait for a machine that is powering off: nothing of the pod is to stay. */
  async cutShort(): Promise<void> {
    await this.#leaving?.stop({ graceMs: 0 });
  }

  /** Ends the machine, if there is one, and lets go of its disks. */
  async end(graceMs: number): Promise<void> {
    const machine = this.#machine;
    this.#machine = undefined;
    this.#leaving = machine;
    await machine?.stop({ graceMs });
    this.#leaving = undefined;
    await this.#network.close();
    this.#ports.release();
    this.volumes.release();
    this.#disks.release();
    this.#pod.life.save({ machineId: undefined });
  }

  /** Makes a machine that waited for a pod this one's. */
  async #settleIn(given: Machine, scratch: string, { signal, recorder }: StartOptions): Promise<Machine> {
    this.#take(given);
    const { hostname } = this.#pod.life.record.spec;
    await Promise.all([
      recorder.phase('machine', () => given.agent.setHostname(hostname)),
      recorder.phase('image', () => this.#prepareDisks(scratch, signal)),
    ]);
    return given;
  }

  /** A machine of the pod's own, and what is to be plugged into it, unless the machine is ready for the image. */
  async #getMachine(scratch: string, { signal, recorder }: StartOptions): Promise<Machine> {
    const { id, spec } = this.#pod.life.record;
    const { machines } = this.#context;
    const network = await recorder.phase('network', () => this.#network.open());
    // One that is ready has an empty writable disk: not for a pod that has one with something on it.
    const [outfit] = (await exists(scratch)) ? [] : this.#images();
    const request: AcquireRequest = {
      ...{ shape: spec.resource, owner: id, identity: identityOf(spec.hostname), network, outfit, signal },
      sharesMemory: this.volumes.needsSharedMemory(spec, this.#records()),
      diskImages: await this.volumes.diskImages(spec, this.#records()),
      onId: (machineId) => this.#pod.life.save({ machineId }),
    };
    const prepare = () => recorder.phase('image', () => this.#prepareDisks(scratch, signal));
    const isReady = machines.hasOutfitted(request);
    const [got, prepared] = await Promise.allSettled([
      recorder.phase('machine', () => machines.acquire(request)),
      isReady || prepare(),
    ]);
    if (got.status === 'rejected') throw got.reason;
    const machine = got.value;
    this.#hold(machine);
    if (prepared.status === 'rejected') throw prepared.reason;
    recorder.machine(machine.source, machine.outfit !== undefined);
    await this.#takeReady(machine, scratch);
    if (isReady) await prepare(); // further images; or all of it, where the ready machine turned out dead
    return machine;
  }

  async #prepareDisks(scratch: string, signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#context.scratch.ensure(scratch),
      ...this.#images().map((image) => this.#disks.prepare(image, signal)),
    ]);
  }

  /** Makes what the machine was prepared with the pod's own. */
  async #takeReady(machine: Machine, scratch: string): Promise<void> {
    const ready = this.#context.readyImages.take(machine);
    if (!ready) return;
    this.#disks.takeOver(ready.disks);
    await rename(ready.scratch, scratch);
  }

  #take(machine: Machine): void {
    this.#pod.life.save({ machineId: machine.id });
    machine.setOwner(this.#pod.life.id);
    this.#hold(machine);
  }

  #hold(machine: Machine): void {
    if (this.#machine === machine) return;
    this.#machine = machine;
    void machine.exited.then((exit) => {
      if (this.#machine === machine) this.#pod.onGone(exit);
    });
  }

  /** What others on the network find the pod by; the host name, which need not be unique, is last. */
  #names(): string[] {
    const { id, spec } = this.#pod.life.record;
    return [id, ...this.#pod.containers().map(({ record }) => record.name), spec.hostname];
  }

  #images(): Digest[] {
    return this.#records().map(({ imageId }) => imageId);
  }

  #records(): ContainerRecord[] {
    return this.#pod.containers().map(({ record }) => record);
  }

  /** What the guest still has of a container whose end was recorded by a daemon that died before it could tell the guest. */
  async #clearAway(id: ContainerId, inits: readonly GuestProcessState[], agent: GuestAgent): Promise<void> {
    try {
      for (const state of inits) {
        const session = new Session({ tty: state.tty });
        await (await agent.adoptProcess(state, { stdout: 0, stderr: 0 }, session)).release();
      }
      await agent.removeContainer(id, { deleteUpper: false });
    } catch (error) {
      if (!isHyperError(error, 'not-found')) throw error; // there is nothing, as a rule
    }
  }

  /** The client of an earlier daemon's exec is gone: its process goes on, its output goes nowhere. */
  async #adoptExec(state: GuestProcessState, agent: GuestAgent): Promise<void> {
    const session = new Session({ tty: state.tty });
    const process = await agent.adoptProcess(state, { stdout: 0, stderr: 0 }, session);
    session.bind(process);
    const container = this.#pod.containers().find(({ record }) => record.id === state.containerId);
    container?.execs.orphanOf(state.id)?.adopt(process);
    process.exited
      .then(() => process.release())
      .catch((error: unknown) =>
        this.#context.logger.debug({ pod: this.#pod.life.id, err: error }, 'end adopted exec'),
      );
  }

  #require(): Machine {
    if (this.#machine) return this.#machine;
    throw new HyperError('precondition', `use machine of pod ${this.#pod.life.id}: it has none`);
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Why a pod's machine is gone. Nobody but the pod itself stops it. */
export function reasonOf(exit: MachineExit): string {
  switch (exit.kind) {
    case 'died':
      return exit.consoleTail
        ? `${exit.message}; its console ended with:\n${exit.consoleTail}`
        : exit.message;
    case 'poweroff':
      return 'the machine was powered off from inside';
    case 'stopped':
      return 'killed';
  }
}
