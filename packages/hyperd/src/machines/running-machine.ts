import { rm } from 'node:fs/promises';
import { HyperError } from '../errors.ts';
import type { GuestAgent, GuestNetwork, GuestService } from '../guest/index.ts';
import type { MachineId, PodId } from '../ids.ts';
import type { HostPort, PortForward } from '../networks/port-forward.ts';
import type { Vm } from './driver.ts';
import type { FileServers } from './file-server.ts';
import { setNiceness } from './host-process.ts';
import { Liveness, type LivenessTiming } from './liveness.ts';
import type {
  DiskImage,
  DiskUseOptions,
  Machine,
  MachineDisk,
  MachineExit,
  MachineIdentity,
  MachineNetwork,
  MachineShape,
  MachineSource,
  SharedPath,
} from './machine.ts';
import type { MachineCgroup } from './machine-cgroup.ts';
import type { MachineRecords, MachineShare, PluggedDisk } from './machine-records.ts';
import { MachineShares } from './machine-shares.ts';

const MAX_TARGET = 255;
/** No image's disk has a name without a digest. */
const MODULES_DISK = 'modules';
const POWEROFF_POLITENESS_MS = 100;
/** One that has not answered by then has died without a word, in ms. */
const HAND_OUT_TIMEOUT_MS = 10_000;

export interface RunningMachineParts {
  readonly id: MachineId;
  readonly shape: MachineShape;
  readonly owner: PodId | undefined;
  readonly source: MachineSource | undefined;
  readonly vm: Vm;
  readonly agent: GuestAgent;
  readonly disks: readonly PluggedDisk[];
  readonly sharesMemory: boolean;
  readonly recordedShares: readonly MachineShare[];
  readonly fileServers: FileServers;
  readonly directory: string;
  readonly cgroup: MachineCgroup;
  readonly modulesDisk: string | undefined;
  readonly records: MachineRecords;
  readonly onGone: (id: MachineId) => void;
  readonly liveness: LivenessTiming;
}

/** A machine with its agent: what a pod holds. Its files and row go when its process does, whatever ended it. */
export class RunningMachine implements Machine {
  readonly id: MachineId;
  readonly shape: MachineShape;
  readonly agent: GuestAgent;
  readonly exited: Promise<MachineExit>;
  readonly #parts: RunningMachineParts;
  readonly #shares: MachineShares;
  readonly #liveness: Liveness;
  #disks: readonly PluggedDisk[];
  #owner: PodId | undefined;
  /** See `Machine.outfit`; set by whoever prepares it. */
  outfit: string | undefined;
  #isHandedOut = false;
  #guestFault: string | undefined;
  #stopping = false;
  #hasModules = false;

  constructor(parts: RunningMachineParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.shape = parts.shape;
    this.agent = parts.agent;
    this.#disks = parts.disks;
    this.#owner = parts.owner;
    this.#shares = new MachineShares({
      ...parts,
      recorded: parts.recordedShares,
      save: (shares) => parts.records.setShares(parts.id, shares),
      onDeath: (reason) => void this.#endFor(reason),
    });
    this.#liveness = new Liveness({
      ...parts.liveness,
      beat: () => this.agent.setClock(), // which may have lost time with a host that slept
      onSilence: (reason) => {
        if (parts.vm.waitsForDisk) this.#liveness.resume();
        else void this.#endFor(reason);
      },
    });
    this.exited = this.#untilGone();
    void this.#endWithAgent();
  }

  get source(): MachineSource | undefined {
    return this.#parts.source;
  }

  get owner(): PodId | undefined {
    return this.#owner;
  }

  setOwner(owner: PodId | undefined): void {
    this.#owner = owner;
    this.#parts.records.setOwner(this.id, owner);
  }

  get shares(): Machine['shares'] {
    return this.#shares.list;
  }

  /** It waits in the pool, or is made for it: nobody's yet. */
  get isPooled(): boolean {
    return this.source === 'pool' && !this.#isHandedOut;
  }

  /** For one of the pool: makes it its owner's, with an identity of its own. Rejects where it does not live any more. */
  async handOut(owner: PodId | undefined, identity: MachineIdentity): Promise<void> {
    const { vm, records } = this.#parts;
    records.handOut(this.id, owner);
    this.#owner = owner;
    this.#isHandedOut = true;
    const timer = setTimeout(() => void this.#endFor('it did not answer'), HAND_OUT_TIMEOUT_MS);
    try {
      // The call waits in the machine until that goes on.
      await Promise.all([vm.resume(), this.agent.configure(identity)]);
      this.#liveness.resume();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Of its process, as setpriority(2) has it. */
  setNiceness(niceness: number): void {
    setNiceness(this.#parts.vm.process, niceness);
  }

  attachShare(paths: readonly SharedPath[]): Promise<string> {
    return this.#shares.attach(paths);
  }

  async attachDisk(disk: DiskImage, as: DiskUseOptions): Promise<void> {
    const { name } = as;
    const target = this.#freeTarget();
    this.#setDisks([...this.#disks, { name, target }]);
    try {
      await this.#parts.vm.plugDisk(target, disk);
      try {
        await this.agent.attachDisk({ ...as, target, readOnly: disk.readOnly });
      } catch (error) {
        await this.#parts.vm.unplugDisk(target);
        throw error;
      }
    } catch (error) {
      this.#setDisks(this.#disks.filter((plugged) => plugged.target !== target));
      throw error;
    }
  }

  async detachDisk(name: string): Promise<void> {
    const plugged = this.#disks.find((disk) => disk.name === name);
    if (!plugged)
      throw new HyperError('not-found', `detach disk "${name}": machine ${this.id} has none of that name`);
    await this.agent.detachDisk(name);
    await this.#parts.vm.unplugDisk(plugged.target);
    this.#setDisks(this.#disks.filter((disk) => disk !== plugged));
  }

  async plugCard(card: number, { tap, guest }: MachineNetwork): Promise<void> {
    await this.#parts.vm.plugCard(card, { tap, mac: guest.mac });
    try {
      await this.agent.addCard(guest);
    } catch (error) {
      await this.unplugCard(card, guest.mac);
      throw error;
    }
  }

  configureCard(network: GuestNetwork): Promise<void> {
    return this.agent.addCard(network);
  }

  unplugCard(card: number, mac: string): Promise<void> {
    return this.#parts.vm.unplugCard(card, () => this.agent.removeCard(mac));
  }

  cards(): Promise<readonly number[]> {
    return this.#parts.vm.cards();
  }

  forwardPort(forward: PortForward): Promise<void> {
    return this.#parts.vm.forwardPort(forward);
  }

  unforwardPort(port: HostPort): Promise<void> {
    return this.#parts.vm.unforwardPort(port);
  }

  forwardedPorts(): Promise<PortForward[]> {
    return this.#parts.vm.forwardedPorts();
  }

  async diskUsage(): Promise<MachineDisk[]> {
    const usage = await this.#parts.vm.diskUsage();
    return this.#disks.flatMap((disk) => {
      const found = usage.get(disk.target);
      return found ? [{ ...disk, ...found }] : [];
    });
  }

  async setServices(services: readonly GuestService[]): Promise<void> {
    if (services.length > 0) await this.#loadModules();
    await this.agent.setServices(services);
  }

  diskNames(): readonly string[] {
    return this.#disks.map(({ name }) => name);
  }

  hasDisk(name: string): boolean {
    return this.#disks.some((disk) => disk.name === name);
  }

  async pause(): Promise<void> {
    this.#liveness.pause();
    await this.#parts.vm.pause();
  }

  async resume(): Promise<void> {
    await this.#parts.vm.resume();
    await this.agent.setClock();
    this.#liveness.resume();
  }

  consoleTail(): Promise<string> {
    return this.#parts.vm.consoleTail();
  }

  async stop({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopping = true;
    if (graceMs > 0) await this.#powerOff(graceMs);
    await this.#parts.vm.kill();
    await this.exited;
  }

  /** Lets go of it: it runs on, and the next daemon takes it up. */
  async detach(): Promise<void> {
    this.#stopping = true;
    this.#liveness[Symbol.dispose]();
    this.#shares.detach();
    this.#parts.vm.detach();
    await this.agent[Symbol.asyncDispose]();
  }

  /** Once in a machine's life, or again after a restart of the daemon, which does no harm. */
  async #loadModules(): Promise<void> {
    const { modulesDisk } = this.#parts;
    if (this.#hasModules || modulesDisk === undefined) return;
    await this.attachDisk(
      { path: modulesDisk, format: 'raw', readOnly: true },
      { use: 'rootfs', name: MODULES_DISK },
    );
    try {
      await this.agent.loadModules(MODULES_DISK);
      this.#hasModules = true;
    } finally {
      await this.detachDisk(MODULES_DISK);
    }
  }

  /** Waits for the guest to end by itself; whatever goes wrong on the way is settled by the kill that follows. */
  async #powerOff(graceMs: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, Math.max(graceMs, POWEROFF_POLITENESS_MS));
    const asked = this.agent.shutdown().then(
      () => this.#parts.vm.exited,
      () => undefined,
    );
    await Promise.race([asked, this.#parts.vm.exited, timeout.promise]);
    clearTimeout(timer);
  }

  /** A machine whose agent is out of reach is of no use. */
  async #endWithAgent(): Promise<void> {
    await this.#endFor((await this.agent.closed).message);
  }

  async #endFor(reason: string): Promise<void> {
    if (this.#stopping) return;
    const { vm } = this.#parts;
    // QEMU's own end closes all connections, too: that one has its own reason.
    const settled = await Promise.race([vm.exited.then(() => true), pause(POWEROFF_POLITENESS_MS)]);
    if (settled) return;
    this.#guestFault ??= reason;
    await vm.kill();
  }

  async #untilGone(): Promise<MachineExit> {
    const { vm, directory, cgroup, records, id, onGone } = this.#parts;
    const exit = await vm.exited;
    this.#liveness[Symbol.dispose]();
    const tail = this.#guestFault === undefined ? '' : await vm.consoleTail();
    await this.agent[Symbol.asyncDispose]();
    await this.#shares.end();
    await cgroup.remove();
    await rm(directory, { recursive: true, force: true });
    records.remove(id);
    onGone(id);
    return this.#guestFault === undefined
      ? exit
      : { kind: 'died', message: this.#guestFault, consoleTail: tail };
  }

  #freeTarget(): number {
    for (let target = 1; target <= MAX_TARGET; target++)
      if (!this.#disks.some((disk) => disk.target === target)) return target;
    throw new HyperError('limit', `attach disk: machine ${this.id} has ${MAX_TARGET} disks`);
  }

  #setDisks(disks: readonly PluggedDisk[]): void {
    this.#disks = disks;
    this.#parts.records.setDisks(this.id, disks);
  }
}

function pause(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, ms, false));
}
