import { access, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import { pruneChanges, type StartBuiltin } from '../guest/index.ts';
import type { Digest } from '../ids.ts';
import type { AcquireRequest, Machine, MachineExit } from '../machines/machine.ts';
import { hostResolver } from '../networks/host-resolver.ts';
import { adoptProcesses } from './adopt-processes.ts';
import { guestServices } from './balancing.ts';
import { withBorrowedMachine } from './borrowed-machine.ts';
import type { Container } from './container.ts';
import { etcFiles } from './etc-files.ts';
import { identityOf } from './identity.ts';
import { POWEROFF_GRACE_MS, type PodContext } from './pod-context.ts';
import { PodDisks } from './pod-disks.ts';
import type { PodLife } from './pod-life.ts';
import { accessOf, type ConnectRequest, PodNetwork } from './pod-network.ts';
import { PodPorts } from './pod-ports.ts';
import type { ContainerRecord } from './pod-records.ts';
import { PodVolumes } from './pod-volumes.ts';
import type { PortMapping } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';
import { builtinOf, type StartPlace } from './start-spec.ts';
import type { StartRecorder } from './start-trace.ts';

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

  /** The machine, where containers can be worked with. Throws `precondition` with the original's text. */
  requireRunning(): Machine {
    const { id, phase } = this.#pod.life;
    const machine = this.#machine;
    if (machine && (phase === 'running' || phase === 'starting')) return machine;
    throw new HyperError(
      'precondition',
      phase === 'paused'
        ? `cannot complete the operation, because the pod ${id} is paused; unpause it first`
        : `cannot complete the operation, because the pod ${id} is not running`,
    );
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

  /** Path of the pod's writable disk. */
  get #scratch(): string {
    return join(this.#pod.directory, 'scratch.img');
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
    const isUsed = await exists(this.#scratch);
    const machine = given
      ? await this.#settleIn(given, { signal, recorder })
      : await this.#getMachine({ signal, recorder });
    await recorder.phase('disks', () => this.#disks.plugAll(machine, this.#scratch));
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

  /** For work on what a container has changed: in the pod's machine, or, while the pod has none, in one that it has for that time. */
  async withChangesOf<T>(
    container: Container,
    work: (place: StartPlace) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    if (this.#machine) return work(await this.placeFor(container));
    const pod = this.#pod.life.record;
    const { imageId: image } = container.record;
    return withBorrowedMachine({ pod, image, scratch: this.#scratch, signal }, this.#context, work);
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
    await adoptProcesses(states, agent, this.#pod.containers(), this.#context.logger);
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

  /** Does not wait for a machine that is powering off, unless it writes what is not the pod's: nothing of the pod is to stay. */
  async cutShort(): Promise<void> {
    if (!this.volumes.writesDisks) await this.#leaving?.stop({ graceMs: 0 });
  }

  /** Time for the guest to power off where nothing of the pod is to stay, in ms. */
  get farewellMs(): number {
    return this.volumes.writesDisks ? POWEROFF_GRACE_MS : 0;
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
  async #settleIn(given: Machine, { signal, recorder }: StartOptions): Promise<Machine> {
    this.#take(given);
    const { hostname } = this.#pod.life.record.spec;
    await Promise.all([
      recorder.phase('machine', () => given.agent.setHostname(hostname)),
      recorder.phase('image', () => this.#prepareDisks(signal)),
    ]);
    return given;
  }

  /** A machine of the pod's own, and what is to be plugged into it, unless the machine is ready for the image. */
  async #getMachine({ signal, recorder }: StartOptions): Promise<Machine> {
    const { id, spec } = this.#pod.life.record;
    const { machines } = this.#context;
    const network = await recorder.phase('network', () => this.#network.open());
    // One that is ready has an empty writable disk: not for a pod that has one with something on it.
    const [outfit] = (await exists(this.#scratch)) ? [] : this.#images();
    const request: AcquireRequest = {
      ...{ shape: spec.resource, owner: id, identity: identityOf(spec.hostname), network, outfit, signal },
      sharesMemory: this.volumes.needsSharedMemory(spec, this.#records()),
      diskImages: await this.volumes.diskImages(spec, this.#records()),
      onId: (machineId) => this.#pod.life.save({ machineId }),
    };
    const prepare = () => recorder.phase('image', () => this.#prepareDisks(signal));
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
    await this.#takeReady(machine);
    if (isReady) await prepare(); // further images; or all of it, where the ready machine turned out dead
    return machine;
  }

  async #prepareDisks(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#context.scratch.ensure(this.#scratch),
      ...this.#images().map((image) => this.#disks.prepare(image, signal)),
    ]);
  }

  /** Makes what the machine was prepared with the pod's own. */
  async #takeReady(machine: Machine): Promise<void> {
    const ready = this.#context.readyImages.take(machine);
    if (!ready) return;
    this.#disks.takeOver(ready.disks);
    await rename(ready.scratch, this.#scratch);
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
